# The base image of a fleet host: a minimal Debian with systemd, SSH and Python, from Debian packages only.
# Source it after ui.sh.
#
#   image_name RELEASE      print the image's name; RELEASE is 12 or 13
#   image_build RELEASE…    build what is missing, or was built by another version of this file
#
# HOSTREEVE_MIRROR          a Debian mirror to build from; mmdebstrap's own choice without it
#
# shellcheck shell=sh
# shellcheck disable=SC2154  # root comes from the caller

image_name() { echo "localhost/hostreeve-debian:$1"; }

image_recipe() { sha256sum <"$root/bin/lib/image.sh" | cut -c1-16; }

image_build() {
    for image_release in "$@"; do
        case $image_release in
        12) image_suite=bookworm ;;
        13) image_suite=trixie ;;
        *) die "There is no base image for Debian $image_release; there is one for 12 and 13." ;;
        esac
        image_have=$(podman image inspect --format '{{index .Labels "hostreeve.recipe"}}' \
            "$(image_name "$image_release")" 2>/dev/null || true)
        [ "$image_have" != "$(image_recipe)" ] || continue
        step "build the Debian $image_release base image" \
            "check that this machine reaches a Debian mirror (HOSTREEVE_MIRROR names another) and run this again." \
            image_make "$image_release" "$image_suite"
    done
}

image_make() {
    image_tmp=$(mktemp -d)
    trap 'rm -rf "$image_tmp"' EXIT
    # No host keys in the image: each host makes its own at its first boot. A privileged container's units must not
    # touch what belongs to the machine below it: its consoles, its kernel modules and its sysctls. podman has mounted
    # /tmp already; a second mount, whenever a unit first asks for it, would hide what is in use there.
    # A test host that loses power is made again, so dpkg need not wait for the disk. The package lists stay, as on an
    # installed machine: check mode can then predict what a package brings.
    cat >"$image_tmp/customize" <<'HOOK'
#!/bin/sh
set -eu
rm -f "$1"/etc/ssh/ssh_host_*
install -d "$1/etc/systemd/system/ssh.service.d" "$1/root/.ssh"
chmod 700 "$1/root/.ssh"
cat >"$1/etc/systemd/system/ssh.service.d/host-keys.conf" <<'UNIT'
[Service]
ExecStartPre=
ExecStartPre=/usr/bin/ssh-keygen -A
ExecStartPre=/usr/sbin/sshd -t
UNIT
for unit in getty.target console-getty.service getty@.service serial-getty@.service systemd-modules-load.service \
    systemd-sysctl.service systemd-udevd.service systemd-udev-trigger.service nvmf-autoconnect.service tmp.mount; do
    ln -sf /dev/null "$1/etc/systemd/system/$unit"
done
HOOK
    chmod 755 "$image_tmp/customize"
    # shellcheck disable=SC2086  # no mirror is no argument
    mmdebstrap --variant=minbase \
        --include=systemd,systemd-sysv,dbus,python3,python3-apt,sudo,iproute2,ca-certificates,openssh-server \
        --dpkgopt=force-unsafe-io --dpkgopt='path-exclude=/usr/share/man/*' --aptopt='Acquire::Languages "none"' \
        --aptopt='Acquire::GzipIndexes "true"' --skip=cleanup/apt/lists \
        --customize-hook="$image_tmp/customize" \
        "$2" "$image_tmp/image.tar" ${HOSTREEVE_MIRROR:-}
    podman import --change "LABEL hostreeve.recipe=$(image_recipe)" "$image_tmp/image.tar" "$(image_name "$1")"
}
