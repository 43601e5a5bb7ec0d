"""A program: reads ``{template, values}`` as JSON, writes the text. Run with an empty environment, by a path.

Templates are written by people who must not reach the machine. The sandbox is one wall; the other is that this process
has nothing: no secret, no file, no socket, no child, two seconds and some memory.
"""

import io
import json
import resource
import sys

import jinja2.debug  # noqa: F401 - an error must not want to open a module's file
from jinja2 import TemplateError, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment, SecurityError

#: Characters of the text, seconds of the processor, bytes of memory.
LONGEST, SECONDS, MEMORY = 256 * 1024, 2, 512 * 1024 * 1024


def environment() -> ImmutableSandboxedEnvironment:
    """Return what templates are parsed and rendered with."""
    made = ImmutableSandboxedEnvironment(optimized=False, keep_trailing_newline=True)
    made.globals = {name: made.globals[name] for name in ("range", "dict", "namespace", "joiner", "cycler")}
    return made


def check(text: str) -> None:
    """Refuse (ValueError) what is no template. Nothing of it is evaluated, nor compiled, which would fold constants."""
    env = environment()
    try:
        tree = env.parse(text)
    except (TemplateError, RecursionError, ValueError, OverflowError, MemoryError) as error:
        line = getattr(error, "lineno", None)
        reason = getattr(error, "message", None) or "is not a template"
        raise ValueError(f"line {line}: {reason}" if line else str(reason)) from None
    if any(tree.find(node) for node in (nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends)):
        raise ValueError("must stand alone: there are no other templates")
    for known, node in ((env.filters, nodes.Filter), (env.tests, nodes.Test)):
        if unknown := [found for found in tree.find_all(node) if found.name not in known]:
            raise ValueError(f"line {unknown[0].lineno}: there is no {unknown[0].name}")


def render(text: str, values: dict[str, object]) -> str:
    """Return the text that a template makes of values; ValueError if it breaks or says too much."""
    out = io.StringIO()
    try:
        for part in environment().from_string(text).generate(values):
            out.write(part)
            if out.tell() > LONGEST:
                raise ValueError(f"the text has more than {LONGEST} characters")
    except SecurityError as error:
        raise ValueError(f"not allowed: {error}") from None
    except (TemplateError, ArithmeticError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(str(error) or type(error).__name__) from None
    except MemoryError:
        raise ValueError("takes too much memory") from None
    return out.getvalue()


def _prepare() -> None:
    """Import what Jinja and Python import when it is first needed: later there are no files."""
    used = "{{ 'ü' | tojson | wordwrap(9) | pprint | urlencode | urlize | escape }}{{ '%s' | format(1.5) }}"
    render(used, {})


def main() -> int:
    """Render once; 0 with the text, 1 with the reason on the error output."""
    _prepare()
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))
    job = json.loads(sys.stdin.buffer.read())
    try:
        text = render(job["template"], job["values"])
    except ValueError as error:
        sys.stderr.write(str(error)[:500])
        return 1
    sys.stdout.buffer.write(text.encode("utf-8", "replace"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
