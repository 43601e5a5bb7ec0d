#!/usr/bin/python
# Copyright: Hostreeve maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The configuration files of a role and the directories they are in, in one call."""

from __future__ import annotations

DOCUMENTATION = r"""
module: config_files
short_description: Make all configuration files of a role, and their directories, in one call
description:
  - One start of Python on the host for the whole list. Every new content is validated before the first file is
    replaced, so a list is written whole or not at all.
  - A link at the place of a file is replaced by the file.
version_added: 0.3.0
author:
  - Hostreeve maintainers (@hostreeve)
options:
  files:
    description: What shall be there, in this order; a directory stands before what is in it.
    type: list
    elements: dict
    required: true
    options:
      path:
        description: Absolute path.
        type: path
        required: true
      content:
        description: Text of a file. Without it the path is a directory.
        type: str
      owner:
        description: Name of the owner.
        type: str
        default: root
      group:
        description: Name of the group.
        type: str
        default: root
      mode:
        description: Permissions, octal; V(0644) for a file and V(0755) for a directory without it.
        type: str
      validate:
        description: A command that must succeed before the file is replaced; C(%s) is the candidate. No shell.
        type: str
      notify:
        description: What C(notify) of the result names if the file or directory changes.
        type: str
attributes:
  check_mode:
    description:
      - Predicts the result. Where a directory, an owner or the program that validates is missing, since an earlier
        task only predicted it, the rest is predicted without.
    support: full
  diff_mode:
    description: Shows each file before and after.
    support: full
"""

EXAMPLES = r"""
- name: Write the configuration
  hostreeve.hosting.config_files:
    files:
      - {path: /etc/app, mode: "0750", group: app}
      - path: /etc/app/app.conf
        content: "{{ lookup('ansible.builtin.template', 'etc/app/app.conf.j2') }}"
        validate: /usr/sbin/app --check %s
        notify: Reload app
  register: written

- name: Tell what reads it
  ansible.builtin.debug:
    msg: Its configuration has changed.
  loop: "{{ written.notify }}"
  changed_when: true
  notify: "{{ item }}"
"""

RETURN = r"""
paths:
  description: What changed.
  type: list
  elements: str
  returned: success
  sample: [/etc/app/app.conf]
notify:
  description: The different C(notify) of what changed, sorted.
  type: list
  elements: str
  returned: success
  sample: [Reload app]
"""

import grp
import os
import pwd
import shlex
import shutil
import stat
import tempfile

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.hostreeve.hosting.plugins.module_utils.files import lstat
from ansible_collections.hostreeve.hosting.plugins.module_utils.whole_list import read, write

OPTIONS = {
    "path": {"type": "path", "required": True},
    "content": {"type": "str"},
    "owner": {"type": "str", "default": "root"},
    "group": {"type": "str", "default": "root"},
    "mode": {"type": "str"},
    "validate": {"type": "str"},
    "notify": {"type": "str"},
}


class Invalid(Exception):
    """Something in the list cannot be made."""


class Entry:
    """One file or directory: as it is, and as it shall be."""

    def __init__(self, wanted, predict):
        self.path, self.content, self.notify = wanted["path"], wanted["content"], wanted["notify"]
        self._validate = wanted["validate"]
        self.is_file = self.content is not None
        self.mode = _mode(self.path, wanted["mode"] or ("0644" if self.is_file else "0755"))
        self._predict = predict
        self.uid = self._id(pwd.getpwnam, "pw_uid", wanted["owner"])
        self.gid = self._id(grp.getgrnam, "gr_gid", wanted["group"])
        # A directory may be reached by a link, as with the file module.
        self.status = lstat(self.path) if self.is_file else _stat(self.path)
        if self.status is not None and not self._fits():
            raise Invalid("%s is something else than %s" % (self.path, "a file" if self.is_file else "a directory"))
        self.before = read(self.path) if self.is_file else None

    def _id(self, look_up, field, name):
        try:
            return getattr(look_up(name), field)
        except KeyError:
            if self._predict:
                return None
            raise Invalid("%s: there is no %s" % (self.path, name)) from None

    def _fits(self):
        if self.is_file:
            return stat.S_ISREG(self.status.st_mode) or stat.S_ISLNK(self.status.st_mode)
        return stat.S_ISDIR(self.status.st_mode)

    @property
    def content_differs(self):
        return self.is_file and self.before != self.content

    @property
    def attributes_differ(self):
        if self.status is None:
            return True
        held = (self.status.st_uid, self.status.st_gid, stat.S_IMODE(self.status.st_mode))
        wanted = (self.uid, self.gid, self.mode)
        return any(want is not None and want != have for have, want in zip(held, wanted, strict=True))

    @property
    def changed(self):
        return self.status is None or self.content_differs or self.attributes_differ

    def check(self, module):
        """Validate the new content, if it is one."""
        if not self._validate or not self.content_differs:
            return
        with tempfile.NamedTemporaryFile(dir=module.tmpdir) as candidate:
            candidate.write(self.content.encode())
            candidate.flush()
            command = [word.replace("%s", candidate.name) for word in shlex.split(self._validate)]
            if self._predict and shutil.which(command[0]) is None:
                return
            code, out, error = module.run_command(command)
        if code != 0:
            raise Invalid("%s is not valid: %s" % (self.path, (error or out).strip() or "exit code %d" % code))

    def make(self):
        """Put it in place."""
        if self.content_differs:
            write(self.path, self.content, self.mode, self.uid, self.gid)
            return
        if self.status is None:
            os.makedirs(self.path, mode=0o755)
        os.chown(self.path, self.uid, self.gid)
        os.chmod(self.path, self.mode)

    def diff(self):
        """Return the difference as Ansible shows it."""
        if self.content_differs:
            return {
                "before_header": self.path,
                "after_header": self.path,
                "before": self.before or "",
                "after": self.content,
            }
        held = "absent\n"
        if self.status is not None:
            held = _attributes(self.status.st_uid, self.status.st_gid, stat.S_IMODE(self.status.st_mode))
        after = _attributes(self.uid, self.gid, self.mode)
        return {"before_header": self.path, "after_header": self.path, "before": held, "after": after}


def _attributes(uid, gid, mode):
    return "owner: %s, group: %s, mode: %04o\n" % (uid, gid, mode)


def _mode(path, text):
    try:
        mode = int(text, 8)
    except ValueError:
        mode = -1
    if not 0 <= mode <= 0o7777:
        raise Invalid('%s: mode must be octal, such as "0644"' % path)
    return mode


def _stat(path):
    try:
        return os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None


def main():
    module = AnsibleModule(
        {"files": {"type": "list", "elements": "dict", "required": True, "options": OPTIONS}},
        supports_check_mode=True,
    )
    try:
        entries = [Entry(wanted, module.check_mode) for wanted in module.params["files"]]
        for entry in entries:
            entry.check(module)
        changed = [entry for entry in entries if entry.changed]
        if not module.check_mode:
            for entry in changed:
                entry.make()
    except (Invalid, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(
        changed=bool(changed),
        paths=[entry.path for entry in changed],
        notify=sorted({entry.notify for entry in changed if entry.notify}),
        diff=[entry.diff() for entry in changed],
    )


if __name__ == "__main__":
    main()
