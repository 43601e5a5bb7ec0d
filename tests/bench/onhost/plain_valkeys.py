"""What processes alone cost: a Valkey per number of its input, of a template unit with a file each. Prints its seconds.

It plans, compares, isolates and limits nothing. With "clear" as input it removes them again.
"""

import glob
import json
import os
import subprocess
import sys
import time

UNIT = "/etc/systemd/system/plain-valkey@.service"
ETC, DATA = "/etc/plain-valkey", "/srv/plain-valkey"
TEXT = "[Service]\nType=notify\nUser=valkey\nExecStart=/usr/bin/valkey-server %s/%%i.conf\n" % ETC


def units():
    """Return the units that there are."""
    return ["plain-valkey@" + os.path.basename(path)[:-5] for path in glob.glob(ETC + "/*.conf")]


asked = json.load(sys.stdin)
began = time.perf_counter()
if asked == "clear":
    if units():
        subprocess.run(["systemctl", "stop", *units()], check=True)
    subprocess.run(["rm", "-rf", ETC, DATA, UNIT], check=True)
    subprocess.run(["systemctl", "daemon-reload"], check=True)
else:
    os.makedirs(ETC)
    os.makedirs(DATA)
    with open(UNIT, "w", encoding="utf-8") as handle:
        handle.write(TEXT)
    for number in range(asked):
        os.mkdir("%s/%d" % (DATA, number))
        subprocess.run(["chown", "valkey", "%s/%d" % (DATA, number)], check=True)
        with open("%s/%d.conf" % (ETC, number), "w", encoding="utf-8") as handle:
            handle.write("port %d\ndir %s/%d\nsupervised systemd\nmaxmemory 16mb\n" % (21000 + number, DATA, number))
    subprocess.run(["systemctl", "daemon-reload"], check=True)
    subprocess.run(["systemctl", "start", *units()], check=True)
print(json.dumps(time.perf_counter() - began))
