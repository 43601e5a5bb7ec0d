"""Keeps the bytecode of what Ansible sends to a host: root's Python there compiles no source twice.

ansible-core sends each module and what it imports as sources in an archive, which Python compiles anew at each task:
two thirds of a trivial module's time (Python 3.13: 0.40 s of processor time, 0.15 s with this).
"""

import os
import sys

if os.geteuid() == 0:
    import _imp
    import marshal
    import zipimport

    ROOM = "/var/cache/ansible-bytecode/" + sys.implementation.cache_tag
    compile_source = zipimport._compile_source

    def kept(pathname, source):
        """Return the code of a source, from an earlier time if there was one."""
        path = "%s/%d-%s" % (ROOM, len(source), _imp.source_hash(0, source).hex())
        try:
            with open(path, "rb") as handle:
                return marshal.loads(handle.read())  # noqa: S302 - root alone writes there
        except (OSError, ValueError, EOFError, TypeError):
            code = compile_source(pathname, source)
        try:
            os.makedirs(ROOM, 0o700, exist_ok=True)
            with open("%s.%d" % (path, os.getpid()), "wb") as handle:
                handle.write(marshal.dumps(code))
            os.replace(handle.name, path)
        except OSError:
            pass  # a disk that is full, or takes no writes: it is compiled each time, as ever
        return code

    zipimport._compile_source = kept
