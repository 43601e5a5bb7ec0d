# The fleet: Debian systemd hosts under podman that are reached over SSH. Source it after ui.sh and image.sh.
#
#   fleet_up NAME [HOST…]       boot a fleet, or some hosts of it; HOST is a name of fleet_hosts or NAME=IP[:RELEASE].
#                               Boots what is missing, starts what stopped, and is quick when all is up
#   fleet_down NAME [HOST…]     remove some hosts; without any: all of them, the network, the keys and the state
#   fleet_status NAME           a line per host: name, address, release, container state, whether SSH answers
#   fleet_is_up NAME            succeed if every host that was booted still runs
#   fleet_ssh NAME HOST [CMD…]  a shell or a command on a host, over SSH
#   fleet_exec NAME HOST CMD…   a command on a host, through podman: works when SSH does not
#   fleet_hosts NAME            the hosts of a known fleet (demo, test) as NAME=IP:RELEASE
#   fleet_state NAME            print the directory of a fleet: key, key.pub, known_hosts, ssh_config, hosts, tsig
#   fleet_old_cgroups           succeed where this machine does not have cgroup v2 alone
#
# Settings, each with a probed default:
#   HOSTREEVE_RUNTIME     OCI runtime: podman's own, but runc where cgroups are old (crun 1.8 refuses those)
#   HOSTREEVE_PODMAN_ARGS further arguments of `podman run`
#
# shellcheck shell=sh
# shellcheck disable=SC2154  # root comes from the caller

fleet_hosts() {
    case $1 in
    demo) echo lb1=10.89.1.10:13 web1=10.89.1.11:13 web2=10.89.1.12:13 dns1=10.89.1.21:13 dns2=10.89.1.22:13 ;;
    test)
        echo lb1=10.89.2.10:13 web1=10.89.2.11:13 web2=10.89.2.12:13 dns1=10.89.2.21:13 dns2=10.89.2.22:13 \
            web12=10.89.2.31:12 dns12=10.89.2.32:12 lb12=10.89.2.33:12 base13=10.89.2.41:13 base12=10.89.2.42:12 \
            kv1=10.89.2.51:13 kv2=10.89.2.52:13 kv3=10.89.2.53:13 kv4=10.89.2.54:13 \
            db1=10.89.2.61:13 db2=10.89.2.62:13 db12=10.89.2.63:12
        ;;
    esac
}

fleet_state() { echo "$root/.cache/fleet/$1"; }

fleet_container() { echo "hostreeve-$1-$2"; }

fleet_old_cgroups() { [ "$(stat -f -c %T /sys/fs/cgroup 2>/dev/null)" != cgroup2fs ]; }

# Debian 13's podman says with every call that cgroup v1 is old.
export PODMAN_IGNORE_CGROUPSV1_WARNING=1

fleet_podman() {
    if [ -n "${HOSTREEVE_RUNTIME:-}" ]; then
        podman --runtime "$HOSTREEVE_RUNTIME" "$@"
    elif fleet_old_cgroups; then
        podman --runtime runc "$@"
    else
        podman "$@"
    fi
}

fleet_limits() {
    # podman raises both limits, which a machine without CAP_SYS_RESOURCE refuses: then take what there is. (podman
    # itself lowers the number of processes on the way, so that one is not the machine's.)
    fleet_files=$(awk '/^Max open files/ { print $5 }' /proc/self/limits)
    if [ "$fleet_files" != unlimited ] && [ "$fleet_files" -lt 1048576 ]; then
        echo "--ulimit nofile=$fleet_files:$fleet_files --ulimit nproc=4096:4096"
    fi
}

fleet_flags() {
    fleet_limits
    if fleet_old_cgroups; then
        # podman's systemd mode lays the machine's own tree of cgroups over the container's there (and its fifth version
        # refuses a cgroup namespace with it): all hosts would share one tree. So do without, and mount what systemd needs.
        # The last variable lets Debian 13's systemd boot with cgroup v1.
        echo --systemd=false --env container=podman --tmpfs /run --tmpfs /run/lock --env SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1
    else
        echo --systemd=always
    fi
    echo "${HOSTREEVE_PODMAN_ARGS:-}"
}

# Each host's systemd watches files; a dozen of them need more watchers than the kernel's default gives to root.
fleet_watchers() {
    if [ "$(cat /proc/sys/fs/inotify/max_user_instances)" -lt 1024 ]; then
        sysctl -q -w fs.inotify.max_user_instances=1024 || true
    fi
}

# --- one host --------------------------------------------------------------------------------------------------------

# The tests' hosts alone: what is measured or shown elsewhere is what any host does.
fleet_quick() { # NAME
    [ "$1" = test ] || return 0
    for fleet_file in ansible_bytecode.py ansible_bytecode.pth; do
        echo "--volume $root/bin/lib/$fleet_file:/usr/lib/python3/dist-packages/$fleet_file:ro"
    done
}

fleet_boot() { # NAME HOST IP RELEASE
    fleet_name=$(fleet_container "$1" "$2")
    fleet_now=$(podman container inspect \
        --format '{{.State.Status}} {{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' "$fleet_name" 2>/dev/null || true)
    case $fleet_now in
    "running $3") ;;
    'running '*)
        echo "$2 runs at ${fleet_now#running }, not at $3: remove it with 'bin/fleet down --name $1 $2', then run this again."
        return 1
        ;;
    '' | 'created '*)
        # A container that never started (its settings were refused) is of no use.
        [ -z "$fleet_now" ] || podman rm -f "$fleet_name"
        # --privileged: HAProxy and PowerDNS keep their units' sandboxing. --cgroupns: without it, systemd's limits are
        # silently not applied. The address is fixed because other hosts are configured with it.
        # shellcheck disable=SC2046  # a list of flags
        fleet_podman run -d --name "$fleet_name" --hostname "$2" --network "hostreeve-$1" --network-alias "$2" \
            --ip "$3" --label "hostreeve.fleet=$1" --label "hostreeve.root=$root" \
            --privileged --cgroupns private --stop-signal SIGRTMIN+3 --pids-limit -1 \
            $(fleet_flags) $(fleet_quick "$1") "$(image_name "$4")" /usr/lib/systemd/systemd
        ;;
    *) fleet_podman start "$fleet_name" ;;
    esac
    fleet_trust "$1" "$2" "$3"
}

# Hands the host our key and takes its host keys, both through podman: nothing is believed because the network says so.
fleet_trust() { # NAME HOST IP
    fleet_dir=$(fleet_state "$1")
    fleet_name=$(fleet_container "$1" "$2")
    # shellcheck disable=SC2016  # for the host's shell
    podman exec -i "$fleet_name" sh -eu -c '
        read -r key
        grep -qsxF "$key" /root/.ssh/authorized_keys || echo "$key" >>/root/.ssh/authorized_keys
        chmod 600 /root/.ssh/authorized_keys
        for try in $(seq 300); do [ -s /etc/ssh/ssh_host_ed25519_key.pub ] && break; sleep 0.2; done
        cat /etc/ssh/ssh_host_ed25519_key.pub' <"$fleet_dir/key.pub" >"$fleet_dir/hosts.d/$2.pub"
    printf '%s,%s %s\n' "$2" "$3" "$(cut -d' ' -f1,2 "$fleet_dir/hosts.d/$2.pub")" >"$fleet_dir/hosts.d/$2.known"
    for fleet_try in $(seq 60); do
        if ssh-keygen -q -F "$3" -f "$fleet_dir/hosts.d/$2.known" >/dev/null &&
            fleet_answers "$1" "$2" "systemctl is-system-running --wait | grep -qE 'running|degraded'"; then
            return
        fi
        sleep 0.5
    done
    echo "$2 ($3) does not answer over SSH after $fleet_try tries; its last log lines:"
    podman exec "$fleet_name" journalctl --no-pager -n 20 || true
    return 1
}

fleet_answers() { # NAME HOST CMD
    fleet_dir=$(fleet_state "$1")
    ssh -F "$fleet_dir/ssh_config" -o BatchMode=yes -o ConnectTimeout=3 \
        -o UserKnownHostsFile="$fleet_dir/hosts.d/$2.known" "$2" "$3" </dev/null
}

# --- the fleet -------------------------------------------------------------------------------------------------------

# One at a time: two runs would boot the same host twice. Closed again at the end, for whatever is started afterwards
# would inherit the lock.
fleet_lock() { # NAME
    mkdir -p "$root/.cache/fleet"
    exec 9>"$root/.cache/fleet/.$1.lock"
    flock 9
}

fleet_up() {
    fleet_lock "$1"
    fleet_up_locked "$@"
    exec 9>&-
}

fleet_up_locked() {
    fleet_fleet=$1
    shift
    case $fleet_fleet in '' | *[!a-z0-9]*) die "A fleet's name is lower-case letters and digits: $fleet_fleet" ;; esac
    fleet_dir=$(fleet_state "$fleet_fleet")
    # shellcheck disable=SC2046  # a list of words
    [ $# -gt 0 ] || set -- $(fleet_hosts "$fleet_fleet")
    [ $# -gt 0 ] || die "The fleet $fleet_fleet has no hosts of its own; name them: bin/fleet up --name $fleet_fleet web1=10.89.9.11"

    fleet_wanted='' fleet_releases='' fleet_net=''
    for fleet_word in "$@"; do
        fleet_line=$(fleet_parse "$fleet_fleet" "$fleet_word")
        # shellcheck disable=SC2086  # host, address, release
        set -- $fleet_line
        fleet_wanted="$fleet_wanted$1 $2 $3
"
        [ -z "$fleet_net" ] || [ "$fleet_net" = "${2%.*}" ] || die "All hosts of a fleet are in one /24: $2 is not in $fleet_net.0/24."
        fleet_net=${2%.*}
        case " $fleet_releases " in *" $3 "*) ;; *) fleet_releases="$fleet_releases $3" ;; esac
    done

    # One call tells what runs; the rest is only for what does not.
    fleet_running=$(podman ps --filter "label=hostreeve.fleet=$fleet_fleet" --filter status=running \
        --format '{{.Names}} {{.ID}}')
    fleet_todo=''
    while read -r fleet_host fleet_ip fleet_release; do
        [ -n "$fleet_host" ] || continue
        fleet_id=$(printf '%s\n' "$fleet_running" | sed -n "s/^$(fleet_container "$fleet_fleet" "$fleet_host") //p")
        if [ -z "$fleet_id" ] || ! [ -f "$fleet_dir/hosts.d/$fleet_host.known" ] ||
            ! grep -qsx "$fleet_host $fleet_ip $fleet_release $fleet_id" "$fleet_dir/hosts"; then
            fleet_todo="$fleet_todo$fleet_host $fleet_ip $fleet_release
"
        fi
    done <<LIST
$fleet_wanted
LIST
    [ -n "$fleet_todo" ] || return 0

    # shellcheck disable=SC2086  # a list of words
    image_build $fleet_releases
    fleet_prepare "$fleet_fleet" "$fleet_net"
    fleet_adopt "$fleet_fleet"
    fleet_watchers
    # shellcheck disable=SC2086  # a list of words
    step "boot $(printf '%s' "$fleet_todo" | cut -d' ' -f1 | tr '\n' ' ')(fleet $fleet_fleet)" \
        "read the log above; 'bin/fleet down --name $fleet_fleet' removes the fleet, then run this again." \
        fleet_boot_all "$fleet_fleet" "$fleet_todo"
}

fleet_parse() { # NAME WORD -> "HOST IP RELEASE"
    fleet_spec=$2
    case $fleet_spec in
    *=*) ;;
    *)
        fleet_spec=''
        for fleet_known in $(fleet_hosts "$1"); do
            case $fleet_known in "$2="*) fleet_spec=$fleet_known ;; esac
        done
        [ -n "$fleet_spec" ] || die "The fleet $1 has no host $2; give its address: $2=10.89.9.11"
        ;;
    esac
    case $fleet_spec in *:*) ;; *) fleet_spec=$fleet_spec:13 ;; esac
    printf '%s\n' "$fleet_spec" | grep -qxE '[a-z][a-z0-9]*=([0-9]{1,3}\.){3}[0-9]{1,3}:[0-9]+' ||
        die "A host is written NAME=IP[:RELEASE], such as web1=10.89.1.11:13, not $2"
    printf '%s\n' "$fleet_spec" | tr '=:' '  '
}

fleet_prepare() { # NAME NET
    mkdir -p "$fleet_dir/hosts.d"
    chmod 700 "$fleet_dir"
    touch "$fleet_dir/hosts" "$fleet_dir/known_hosts"
    [ -f "$fleet_dir/key" ] || ssh-keygen -q -t ed25519 -N '' -C "hostreeve-$1" -f "$fleet_dir/key"
    # The name servers' shared secret, made here because it belongs to whoever runs the fleet and to no repository.
    [ -f "$fleet_dir/tsig" ] || (umask 077 && head -c 32 /dev/urandom | base64 >"$fleet_dir/tsig")
    cat >"$fleet_dir/ssh_config" <<CONFIG
Host *
    User root
    IdentityFile "$fleet_dir/key"
    IdentitiesOnly yes
    UserKnownHostsFile "$fleet_dir/known_hosts"
    StrictHostKeyChecking yes
    LogLevel ERROR
CONFIG
    while read -r fleet_host fleet_ip _; do
        [ -z "$fleet_host" ] || printf 'Host %s\n    HostName %s\n' "$fleet_host" "$fleet_ip"
    done >>"$fleet_dir/ssh_config" <<LIST
$(
        { cat "$fleet_dir/hosts"; printf '%s' "$fleet_wanted"; } | sort -u -k1,1
    )
LIST
    podman network exists "hostreeve-$1" ||
        podman network create --subnet "$2.0/24" --label "hostreeve.fleet=$1" "hostreeve-$1" >/dev/null ||
        die "The network hostreeve-$1 ($2.0/24) could not be made: does something else use that range? See 'ip route'."
}

# The hosts of this name may have been booted from another checkout: ours gets in too, and the reader is told.
fleet_adopt() { # NAME
    fleet_others=$(podman ps -a --filter "label=hostreeve.fleet=$1" --format '{{index .Labels "hostreeve.root"}}' |
        grep -vxF "$root" | sort -u || true)
    [ -z "$fleet_others" ] || warn "The fleet $1 was booted from $fleet_others; its running hosts are taken over as they are." \
        "('bin/fleet down --name $1' first, for fresh ones.)"
}

fleet_boot_all() { # NAME "HOST IP RELEASE\n…"
    fleet_pids='' fleet_failed=''
    while read -r fleet_host fleet_ip fleet_release; do
        [ -n "$fleet_host" ] || continue
        (set -e; fleet_boot "$1" "$fleet_host" "$fleet_ip" "$fleet_release") >"$fleet_dir/hosts.d/$fleet_host.log" 2>&1 9>&- &
        fleet_pids="$fleet_pids $fleet_host:$!"
    done <<LIST
$2
LIST
    # shellcheck disable=SC2064  # these pids, now
    trap "kill $(printf '%s' "$fleet_pids" | sed 's/[a-z0-9]*://g') 2>/dev/null; exit 143" TERM
    for fleet_pair in $fleet_pids; do
        wait "${fleet_pair#*:}" || fleet_failed="$fleet_failed ${fleet_pair%:*}"
    done
    for fleet_host in $fleet_failed; do
        echo "$fleet_host:"
        cat "$fleet_dir/hosts.d/$fleet_host.log"
    done
    fleet_remember "$1" "$2" "$fleet_failed"
    [ -z "$fleet_failed" ]
}

# Notes which container each host is, so that the next call sees at a glance that nothing changed.
fleet_remember() { # NAME "HOST IP RELEASE\n…" FAILED
    while read -r fleet_host fleet_ip fleet_release; do
        [ -n "$fleet_host" ] || continue
        fleet_forget "$fleet_host"
        case " $3 " in *" $fleet_host "*) continue ;; esac
        fleet_id=$(podman ps --filter "name=^$(fleet_container "$1" "$fleet_host")\$" --format '{{.ID}}')
        echo "$fleet_host $fleet_ip $fleet_release $fleet_id" >>"$fleet_dir/hosts"
        cat "$fleet_dir/hosts.d/$fleet_host.known" >>"$fleet_dir/known_hosts"
    done <<LIST
$2
LIST
}

fleet_forget() { # HOST
    sed -i "/^$1 /d" "$fleet_dir/hosts"
    sed -i "/^$1,/d" "$fleet_dir/known_hosts"
}

fleet_down() {
    fleet_lock "$1"
    fleet_down_locked "$@"
    exec 9>&-
}

fleet_down_locked() {
    fleet_fleet=$1
    shift
    fleet_dir=$(fleet_state "$fleet_fleet")
    if ! command -v podman >/dev/null; then
        rm -rf "$fleet_dir" "$root/.cache/fleet/.$fleet_fleet.lock"
        return
    fi
    if [ $# -gt 0 ]; then
        for fleet_host in "$@"; do
            case $fleet_host in '' | *[!a-z0-9]*) die "No host is called $fleet_host." ;; esac
            podman rm -f -t 0 "$(fleet_container "$fleet_fleet" "$fleet_host")" >/dev/null 2>&1 || true
            [ ! -d "$fleet_dir" ] || fleet_forget "$fleet_host"
            rm -f "$fleet_dir/hosts.d/$fleet_host".*
        done
        return
    fi
    fleet_ids=$(podman ps -a -q --filter "label=hostreeve.fleet=$fleet_fleet")
    # shellcheck disable=SC2086  # a list of ids
    [ -z "$fleet_ids" ] || podman rm -f -t 0 $fleet_ids >/dev/null
    podman network rm "hostreeve-$fleet_fleet" >/dev/null 2>&1 || true
    rm -rf "$fleet_dir" "$root/.cache/fleet/.$fleet_fleet.lock"
    rmdir "$root/.cache/fleet" 2>/dev/null || true
}

fleet_status() {
    fleet_dir=$(fleet_state "$1")
    [ -s "$fleet_dir/hosts" ] || { say "The fleet $1 is not up."; return 1; }
    fleet_lines=$(podman ps -a --filter "label=hostreeve.fleet=$1" --format '{{.Names}} {{.State}}' | sed 's, ago$,,')
    fleet_rc=0
    printf '%-8s %-12s %-8s %-16s %s\n' HOST ADDRESS DEBIAN STATE SSH
    while read -r fleet_host fleet_ip fleet_release _; do
        fleet_seen=$(printf '%s\n' "$fleet_lines" | sed -n "s/^$(fleet_container "$1" "$fleet_host") //p")
        if fleet_answers "$1" "$fleet_host" true 2>/dev/null; then fleet_ok=answers; else fleet_ok='no answer' fleet_rc=1; fi
        printf '%-8s %-12s %-8s %-16s %s\n' "$fleet_host" "$fleet_ip" "$fleet_release" "${fleet_seen:-missing}" "$fleet_ok"
    done <"$fleet_dir/hosts"
    return $fleet_rc
}

fleet_is_up() {
    fleet_dir=$(fleet_state "$1")
    [ -s "$fleet_dir/hosts" ] || return 1
    [ "$(podman ps -q --filter "label=hostreeve.fleet=$1" | wc -l)" -ge "$(wc -l <"$fleet_dir/hosts")" ]
}

fleet_ssh() {
    fleet_dir=$(fleet_state "$1")
    [ -f "$fleet_dir/ssh_config" ] || die "The fleet $1 is not up; bin/fleet up --name $1 boots it."
    shift
    exec ssh -F "$fleet_dir/ssh_config" "$@"
}

fleet_exec() {
    fleet_name=$(fleet_container "$1" "$2")
    shift 2
    if [ -t 0 ]; then exec podman exec -it "$fleet_name" "$@"; else exec podman exec -i "$fleet_name" "$@"; fi
}
