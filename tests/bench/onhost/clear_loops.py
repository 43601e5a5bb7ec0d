"""Removes what playbooks/loops.yml made."""

import glob
import json
import os
import pwd
import shutil
import subprocess

users = [entry.pw_name for entry in pwd.getpwall() if entry.pw_dir.startswith("/srv/bench/")]
for user in users:
    subprocess.run(["userdel", user], check=True, capture_output=True)
shutil.rmtree("/srv/bench", ignore_errors=True)
for path in glob.glob("/etc/nginx/conf.d/bench*.conf"):
    os.unlink(path)
subprocess.run(["systemctl", "reload", "nginx"], check=True)
print(json.dumps(len(users)))
