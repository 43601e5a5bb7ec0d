# Makes a bare Debian 12 or 13 machine (root and git, nothing else) ready. Source it after ui.sh and fleet.sh.
#
#   setup_packages GROUP…   install what is missing of the groups: fleet (podman, mmdebstrap, SSH, flock),
#                           control (python3-venv, dig, curl, Redis or Valkey), postgresql; quick and silent when all is there
#   setup_venv EXTRA        make .venv with Debian's own Python and install this checkout into it; EXTRA is demo (what
#                           runs) or test (that and all test tools). Silent when pyproject.toml has not changed since
#   setup_redis_server      print the name of the server's program: valkey-server or redis-server
#
# Services that come with a package are neither started now nor at the next boot: the demo and the tests start private ones.
#
# shellcheck shell=sh
# shellcheck disable=SC2154  # root comes from the caller

setup_missing() {
    # A package counts only when it is wholly installed; dpkg-query fails if one of the names is unknown to it.
    for setup_package in "$@"; do
        case $(dpkg-query -W -f '${db:Status-Status}' "$setup_package" 2>/dev/null) in
        installed) ;;
        *) printf '%s ' "$setup_package" ;;
        esac
    done
}

setup_redis_server() {
    for setup_program in valkey-server redis-server; do
        if command -v "$setup_program" >/dev/null; then
            echo "$setup_program"
            return
        fi
    done
}

setup_group() {
    case $1 in
    fleet)
        echo podman netavark aardvark-dns iptables nftables uidmap mmdebstrap openssh-client util-linux ca-certificates
        if fleet_old_cgroups; then echo runc; fi
        ;;
    control)
        echo python3-venv bind9-dnsutils curl openssh-client ca-certificates
        if [ -z "$(setup_redis_server)" ]; then
            # Debian 13 has both, and its Valkey is what the platform runs on its own hosts.
            if apt-cache show valkey-server >/dev/null 2>&1; then echo valkey-server; else echo redis-server; fi
        fi
        ;;
    postgresql) echo postgresql ;;
    *) die "setup_packages: unknown group $1" ;;
    esac
}

setup_packages() {
    [ -r /etc/debian_version ] || die "This needs Debian 12 or 13; this machine is something else."
    setup_names=$(for setup_name in "$@"; do setup_group "$setup_name"; done)
    # shellcheck disable=SC2086  # a list of words
    setup_names=$(setup_missing $setup_names)
    [ -n "$setup_names" ] || return 0
    [ "$(id -u)" -eq 0 ] || die "Missing packages: ${setup_names}- run this as root, or install them first."
    # shellcheck disable=SC2086
    step "install ${setup_names% }" \
        "check that 'apt-get update' works (network, /etc/apt/sources.list.d) and run this again." \
        setup_install $setup_names
}

setup_install() {
    setup_policy=/usr/sbin/policy-rc.d
    setup_kept=$(mktemp)
    if [ -e "$setup_policy" ]; then cp -p "$setup_policy" "$setup_kept"; else rm -f "$setup_kept"; fi
    trap 'if [ -e "$setup_kept" ]; then mv "$setup_kept" "$setup_policy"; else rm -f "$setup_policy"; fi' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$setup_policy"
    chmod 755 "$setup_policy"

    export DEBIAN_FRONTEND=noninteractive
    apt-get update || echo 'going on with the package lists that are there'
    apt-get install -y --no-install-recommends -o DPkg::Lock::Timeout=120 "$@"
    for setup_service in redis-server valkey-server postgresql; do
        case " $* " in *" $setup_service "*) systemctl disable "$setup_service" || true ;; esac
    done
}

setup_venv() {
    # The path counts too: a virtual environment does not survive being moved.
    setup_hash=$({ cat "$root/pyproject.toml"; /usr/bin/python3 -V; echo "$root"; } | sha256sum | cut -d' ' -f1)
    setup_stamp=$root/.venv/.hostreeve
    for setup_done in "$1" test; do
        if [ "$(cat "$setup_stamp" 2>/dev/null)" = "$setup_done $setup_hash" ]; then return; fi
    done
    step "install the Python packages ($1)" \
        "check that pip reaches its package index (see 'pip config list'), then run this again." \
        setup_pip "$1" "$setup_hash"
}

setup_pip() {
    # Debian's Python, whatever else the PATH holds: the distribution's security updates reach it.
    if ! "$root/.venv/bin/python" -c 'import pip' 2>/dev/null ||
        [ "$("$root/.venv/bin/python" -V)" != "$(/usr/bin/python3 -V)" ] ||
        ! grep -qs "$root/.venv" "$root/.venv/bin/activate"; then
        rm -rf "$root/.venv"
        /usr/bin/python3 -m venv "$root/.venv"
    fi
    rm -f "$root/.venv/.hostreeve"
    case $1 in
    demo) setup_extras= ;;
    test) setup_extras='[test,bench]' ;;
    *) echo "setup_venv: unknown extra $1"; return 1 ;;
    esac
    "$root/.venv/bin/pip" install --disable-pip-version-check -e "$root$setup_extras"
    echo "$1 $2" >"$root/.venv/.hostreeve"
}
