# Copyright: Hostreeve maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Options by which a module knows the run that it is part of."""

from __future__ import annotations


class ModuleDocFragment:
    """``hostreeve.hosting.run`` for every module that changes a host, ``….run.noted`` for those that note the job."""

    DOCUMENTATION = r"""
options:
  job:
    description: The job that runs; the host's fact file names it if something changed.
    type: str
  fence:
    description: Fencing token of the run's lease. A token older than one this host has seen is refused.
    type: int
"""

    NOTED = r"""
options:
  audit_head:
    description: Where the platform's audit ended when the job was taken, V(seq:hash); noted with the job.
    type: str
"""
