"""Prints what makes the sites of this host, for plain.py: users, directories and files with owner, mode and content."""

import json
import os
import pwd
import stat

entries: list = []


def note(path: str) -> None:
    """Note one path."""
    status = os.lstat(path)
    text = None
    if stat.S_ISREG(status.st_mode):
        with open(path, encoding="utf-8") as handle:
            text = handle.read()
    entries.append([path, status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode), text])


tenants = [entry for entry in pwd.getpwall() if entry.pw_name.startswith("t_")]
for tenant in tenants:
    top = os.path.dirname(tenant.pw_dir)
    note(top)
    for folder, folders, files in os.walk(top):
        for name in [*folders, *files]:
            note(os.path.join(folder, name))
for folder in ("/etc/nginx/hostreeve/webroots", "/etc/nginx/hostreeve/sites"):
    for name in os.listdir(folder):
        note(os.path.join(folder, name))
users = [[entry.pw_name, entry.pw_uid, entry.pw_gecos, entry.pw_dir, entry.pw_shell] for entry in tenants]
print(json.dumps({"users": users, "entries": entries}))
