# Copyright: Hostreeve maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import subprocess
import sys

from ansible_collections.hostreeve.hosting.plugins.module_utils.db.complaints import Complaints, text_of


def ended(program):
    """Run a program whose stderr nobody else reads; return what is kept of that."""
    with subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE) as process:
        found = Complaints(process.stderr)
        code = process.wait(20)
        return text_of([found], [code])


def test_a_statement_that_failed_stops_nobody_and_is_not_repeated():
    """The client writes all of it, which is more than a pipe holds."""
    rows = "'--------------\\nINSERT INTO t VALUES (' + 'secret ERROR 1 ' * 100000 + ')\\n--------------\\n'"
    error = "'ERROR 2013 (HY000) at line 7: Lost connection\\n'"
    told = ended(f"import sys; sys.stderr.write({rows} + {error}); sys.exit(1)")
    assert told == "ERROR 2013 (HY000) at line 7: Lost connection"


def test_each_programs_own_words_are_kept_and_bounded():
    lines = "'mariadb-dump: Got error: 1045\\n' + 'mariadb: no\\n' + 'ERROR 1 x\\n' * 1000"
    told = ended(f"import sys; sys.stderr.write({lines})")
    assert told.startswith("mariadb-dump: Got error: 1045; mariadb: no; ERROR 1 x") and len(told) < 200


def test_without_words_the_codes_are_told():
    assert ended("import sys; sys.exit(3)") == "exit codes 3"
