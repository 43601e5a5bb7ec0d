# Copyright: Hostreeve maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""PHP: tests pools, and waits for their sockets."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
import time

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


def wait(sockets):
    """Wait until these sockets are there; returns those that are not."""
    end, missing = time.monotonic() + PATIENCE, set(sockets)
    while True:
        missing = {path for path in missing if not os.path.exists(path)}
        if not missing or time.monotonic() > end:
            return missing
        time.sleep(0.01)
