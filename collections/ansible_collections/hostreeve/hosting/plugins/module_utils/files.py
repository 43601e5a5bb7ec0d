# Copyright: Hostreeve maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What stands at a path."""

from __future__ import annotations

import os
import stat


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
