# Copyright: Hostreeve maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""PHP: tests pools, and starts, reloads and stops the tenants' units, each in one call of systemctl."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import tempfile
import time

from ansible_collections.hostreeve.hosting.plugins.module_utils.web.host import running
from ansible_collections.hostreeve.hosting.plugins.module_utils.web.settle import Complaint

PATIENCE = 10  # seconds that a pool may take to open its socket

#: Somebody must be named in a pool when root tests it; the live pools run as the unit's user.
_TESTER = "user = nobody\ngroup = nogroup\n"


def test(php, pools):
    """Ask php-fpm about pools ({"TENANT/WEBROOT": text, or None for one that goes}); Complaint or None."""
    with tempfile.TemporaryDirectory(prefix="hostreeve-fpm-", dir="/run") as stage:
        for name, text in pools.items():
            if text is not None:
                with open(os.path.join(stage, name.split("/")[1] + ".conf"), "w", encoding="utf-8") as handle:
                    handle.write(text + _TESTER)
        main = os.path.join(stage, "main")
        with open(main, "w", encoding="utf-8") as handle:
            handle.write("[global]\nerror_log = /dev/null\n[test]\nlisten = %s/socket\n" % stage)
            handle.write("pm = ondemand\npm.max_children = 1\n%sinclude = %s/*.conf\n" % (_TESTER, stage))
        done = subprocess.run(
            [php, "--test", "--fpm-config", main],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            check=False,
        )
        if done.returncode == 0:
            return None
        errors = re.findall(r"(?m)^\[[^\]]*\] (?:ERROR|ALERT): (.*)$", done.stderr) or ["refused"]
        blamed = re.search(re.escape(stage) + r"/(\w+)\.conf", errors[0])
        name = next((one for one in pools if blamed and one.endswith("/" + blamed.group(1))), None)
        return Complaint(errors[0].replace(stage + "/", ""), name)


def unit(tenant):
    """Return the name of a tenant's unit."""
    return "hostreeve-fpm@%s.service" % tenant


def start(tenants):
    """Start units and return the tenants whose unit does not run then."""
    if not tenants:
        return set()
    _systemctl("reset-failed", tenants)
    _systemctl("start", tenants)
    return set(tenants) - running()


def reload(tenants):
    """Make running units read their pools again, and systemd apply the limits of their slices."""
    if tenants:
        _systemctl("reload", tenants)


def stop(tenants, ending):
    """Stop the units of tenants, and everything that runs in the slices of those that are ending."""
    if tenants:
        _systemctl("stop", tenants)
    if ending:
        slices = ["hostreeve-tenant-%s.slice" % tenant for tenant in ending]
        subprocess.run(
            ["systemctl", "stop", *slices], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False
        )


def wait(sockets):
    """Wait until these sockets are there; returns those that are not."""
    end, missing = time.monotonic() + PATIENCE, set(sockets)
    while True:
        missing = {path for path in missing if not os.path.exists(path)}
        if not missing or time.monotonic() > end:
            return missing
        time.sleep(0.01)


def enable(path, on):
    """Start a unit at boot, or no longer; path is its link below multi-user.target.wants."""
    if on:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with contextlib.suppress(FileExistsError):
            os.symlink("/etc/systemd/system/hostreeve-fpm@.service", path)
    else:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


def daemon_reload():
    """Make systemd read its files again."""
    subprocess.run(["systemctl", "daemon-reload"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)


def _systemctl(verb, tenants):
    subprocess.run(
        ["systemctl", verb, *map(unit, tenants)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False
    )
