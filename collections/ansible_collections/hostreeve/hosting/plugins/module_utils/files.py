# Copyright: Hostreeve maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What stands at a path."""

from __future__ import annotations

import contextlib
import os
import stat
from functools import cached_property

from ansible_collections.hostreeve.hosting.plugins.module_utils.whole_list import read

#: The first line of our files: what does not begin with it is a stranger's.
MARK = "# Managed by Hostreeve: changes are overwritten.\n"


def listed(path):
    """Return the names in a directory; none where there is no such directory."""
    try:
        return os.listdir(path)
    except (FileNotFoundError, NotADirectoryError):
        return []


def lstat(path):
    """Return what stands at a path itself (not what a link names), or None."""
    try:
        return os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None


def is_folder(status, uid, gid, mode):
    """Tell whether a status is that of a directory with this owner and mode."""
    return (
        status is not None
        and stat.S_ISDIR(status.st_mode)
        and (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (uid, gid, mode)
    )


class Folder:
    """The text files of one directory, by their name without the suffix."""

    def __init__(self, path, suffix=".conf"):
        self.path, self.suffix = path, suffix
        self._texts = {}

    def __call__(self, name):
        """Return the path of a file."""
        return os.path.join(self.path, name + self.suffix)

    def get(self, name):
        """Return a file's text, or None."""
        if name not in self._texts:
            self._texts[name] = read(self(name))
        return self._texts[name]

    @cached_property
    def names(self):
        """The names of all files, hidden ones left out."""
        cut = -len(self.suffix)
        return [entry[:cut] for entry in listed(self.path) if entry.endswith(self.suffix) and entry[0] != "."]

    def marked(self, mark=MARK):
        """Return the names of the files that Hostreeve wrote."""
        return [name for name in self.names if (self.get(name) or "").startswith(mark)]


#: Files that are looked at below one path: a directory of a customer's process may hold any number.
MOST_FILES = 100_000


def on_disk(path):
    """Yield (name, bytes on disk) of the files below a directory, as many as are looked at; links are not followed."""
    left, folders = MOST_FILES, [path]
    while folders and left:
        try:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    left -= 1
                    with contextlib.suppress(FileNotFoundError):  # it has just gone
                        if entry.is_dir(follow_symlinks=False):
                            folders.append(entry.path)
                        else:
                            yield entry.name, entry.stat(follow_symlinks=False).st_blocks * 512
                    if not left:
                        break
        except (FileNotFoundError, NotADirectoryError):
            continue
