# Copyright: Hostreeve maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Units of systemd: many instances of one template in each call of systemctl, and the slices of tenants."""

from __future__ import annotations

import contextlib
import os
import subprocess

UNITS = "/etc/systemd/system"


class Units:
    """The instances of a template, such as ``Units("hostreeve-fpm")`` for hostreeve-fpm@NAME.service."""

    def __init__(self, template):
        self.template = template

    def unit(self, name):
        """Return the name of an instance's unit."""
        return "%s@%s.service" % (self.template, name)

    def wants(self, folder, name):
        """Return the path of the link that starts an instance at boot."""
        return os.path.join(folder, "multi-user.target.wants", self.unit(name))

    def running(self):
        """Ask systemd which instances run."""
        pattern = self.unit("*")
        done = subprocess.run(
            ["systemctl", "list-units", "--plain", "--no-legend", "--state=active,reloading", pattern],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            check=False,
        )
        return {line.split("@", 1)[1].split(".", 1)[0] for line in done.stdout.splitlines() if "@" in line}

    def start(self, names, verb="start"):
        """Start instances, or restart them, and return those that do not run then."""
        if not names:
            return set()
        self._call("reset-failed", names)
        self._call(verb, names)
        return set(names) - self.running()

    def reload(self, names):
        """Reload running instances; systemd then also applies the limits of their slices."""
        if names:
            self._call("reload", names)

    def stop(self, names):
        """Stop instances, and no longer wait to start them again."""
        if names:
            self._call("stop", names)

    def enable(self, path, on):
        """Start an instance at boot, or no longer; path is its link below multi-user.target.wants."""
        if on:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with contextlib.suppress(FileExistsError):
                os.symlink(os.path.join(UNITS, "%s@.service" % self.template), path)
        else:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)

    def _call(self, verb, names):
        systemctl(verb, *map(self.unit, sorted(names)))


def limits_path(folder, tenant):
    """Return the path of the drop-in of a tenant's slice."""
    # A drop-in, because the defaults of all tenants are one (hostreeve-tenant-.slice.d) and win over a unit file.
    return os.path.join(folder, "hostreeve-tenant-%s.slice.d" % tenant, "50-limits.conf")


def stop_slices(tenants):
    """End everything that runs in the slices of these tenants."""
    if tenants:
        systemctl("stop", *("hostreeve-tenant-%s.slice" % tenant for tenant in tenants))


def daemon_reload():
    """Make systemd read its files again."""
    systemctl("daemon-reload")


def systemctl(*argv):
    """Call systemctl; what came of it is looked for afterwards."""
    subprocess.run(["systemctl", *argv], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
