"""Templates of messages: what they may say, and that they reach nothing and cost little."""

from __future__ import annotations

import json
import os
import time

import pytest

from api.notify import render
from api.notify.message import Unfit, text_of

VALUES = {"topic": "job_failed", "name": 'a"b', "message": "<x>", "list": [1, 2], "nested": {"a": 1}}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("", ""),
        ('{"text": {{ (topic ~ ": " ~ name) | tojson }}}', '{"text": "job_failed: a\\"b"}'),
        ("{% for x in list %}{{ x }};{% endfor %}\n", "1;2;\n"),
        ("{{ missing }}{{ message }}", "<x>"),
        ("{{ nested.a }} {{ topic | upper }} {% if name is defined %}y{% endif %}", "1 JOB_FAILED y"),
        ("{{ 'ü' }}", "ü"),
    ],
)
def test_templates(template, text):
    render.check(template)
    assert text_of(template, VALUES) == text


ESCAPES = [
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ ''.__class__ }}",
    "{{ [].__class__.__base__.__subclasses__() }}",
    "{{ self.__init__.__globals__ }}",
    "{{ self._TemplateReference__context }}",
    "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
    "{{ joiner.__init__.__globals__ }}",
    "{{ namespace.__init__.__globals__['__builtins__'] }}",
    "{{ range.__self__ }}",
    "{{ topic['__class__'] }}",
    "{{ topic | attr('__class__') }}",
    "{{ ('{0.__class__.__mro__}').format(topic) }}",
    "{{ ('{0.__class__}' | string).format_map({'0': 1}) }}",
    "{{ '%s' | format(topic.__class__) }}",
    "{{ (list | map(attribute='__class__') | list)[0].__name__ }}",
    "{{ lipsum.__globals__ }}",
    "{{ get_flashed_messages.__globals__ }}",
    "{{ config }}{{ request.application.__globals__ }}",
    "{{ dict.mro() }}",
    "{{ dict.__subclasses__() }}",
    "{{ list.append(3) }}",
    "{{ nested.update({'a': 2}) }}",
]
LEAKS = ("class", "<function", "module", "uid=", "builtins", "subclasses", "HOSTREEVE", "object at")


@pytest.mark.parametrize("template", ESCAPES)
def test_escapes(template):
    """Refused, or an empty text: never an object of Python's, and nothing of the process."""
    try:
        text = text_of(template, VALUES)
    except Unfit:
        return
    assert not any(leak in text for leak in LEAKS), text


BOMBS = [
    "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "{% for a in range(10**9) %}{% endfor %}",
    "{{ 'x' * 10**10 }}",
    "{{ 'x' * (256 * 1024 + 1) }}",
    "{{ 9 ** (9 ** 9) }}",
    "{{ '%2000000000d' % 1 }}",
    "{{ ('x' * 100000) * 100000 }}",
    "{{ [1] * 10**9 }}",
    "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "{% set ns = namespace(x='x') %}{% for i in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}{{ ns.x }}",
    "{{ 'x'.center(10**10) }}",
    "{{ ('x' * 5000) | wordwrap(1) | replace('x', 'y' * 5000) }}",
    "{{ 1 / 0 }}",
    "{{ list[99].x.y }}",
]


@pytest.mark.parametrize("template", BOMBS)
def test_bombs(template):
    """They are harmless to check, and end soon when they are rendered."""
    began = time.monotonic()
    render.check(template)
    assert time.monotonic() - began < 0.5
    with pytest.raises(Unfit, match="body"):
        text_of(template, VALUES)
    assert time.monotonic() - began < 20


def test_a_template_is_not_compiled_when_it_is_checked():
    """Jinja evaluates constants when it compiles."""
    for template in ("{{ 'x' * 10**9 }}", "{{ 9 ** (9 ** 9) }}", "{{ '%999999999d' % 1 }}"):
        began = time.monotonic()
        render.check(template)
        assert time.monotonic() - began < 0.2


def test_the_process_has_nothing(monkeypatch, tmp_path):
    """Even somebody who came out of the sandbox would find no secret, no file, no socket and no child."""
    monkeypatch.setenv("HOSTREEVE_SECRET_KEY", "canary")
    probe = tmp_path / "probe.py"
    code = """
import json, os, socket, subprocess, sys
sys.path.insert(0, {folder!r})
import render
def render_(text, values):
    if not values:
        return ""
    found = {{"env": dict(os.environ)}}
    for name, work in {{"file": lambda: open("/etc/passwd"), "socket": lambda: socket.socket(),
                        "child": lambda: subprocess.run(["/bin/true"]), "pipe": os.pipe}}.items():
        try:
            work()
            found[name] = "worked"
        except OSError as error:
            found[name] = "refused"
    found["fds"] = [fd for fd in range(3, 64) if isopen(fd)]
    return json.dumps(found)
def isopen(fd):
    try:
        os.fstat(fd)
        return True
    except OSError:
        return False
render.render = render_
sys.exit(render.main())
"""
    probe.write_text(code.format(folder=os.path.dirname(render.__file__)))
    monkeypatch.setattr(render, "__file__", str(probe))
    with open(tmp_path / "held", "w"):
        found = json.loads(text_of("", VALUES))
    assert found["env"].keys() <= {"LC_CTYPE"}
    assert {found[name] for name in ("file", "socket", "child", "pipe")} == {"refused"}
    assert found["fds"] == []


def test_a_template_that_breaks_gives_up(stage, receiver):
    """The log says why; a mended one can be redelivered."""
    made = stage.webhook(receiver.url, body="{{ name.__class__ }}{{ 1 / 0 }}")
    stage.rest.post(f"/notifications/{made['id']}/test")
    stage.send()
    notice = stage.notices()[0]
    assert notice.state == "given_up" and notice.answer.startswith("body: ") and receiver.got == []
    stage.rest.patch(f"/notifications/{made['id']}", {"body": "{{ name }} fine"})
    stage.rest.post(f"/notices/{notice.id}/redeliver")
    stage.send()
    assert receiver.got[0].body == b"Hook fine"
