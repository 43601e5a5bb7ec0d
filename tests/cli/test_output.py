"""Texts of a server are data: whatever it answers, a terminal obeys nothing of it."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from hostctl.output import clean
from tests.cli.conftest import ROOT

EVIL = "a\x1b]0;owned\x07\x1b[2J\x9b31m[red]b[/red][link=http://x]c[/link]\u202e\u200b\n\r\td\ud800"
SHOWN = r"a\x1b]0;owned\x07\x1b[2J\x9b31m[red]b[/red][link=http://x]c[/link]\u202e\u200b\x0a\x0d\x09d\ud800"
ID = "11111111-1111-4111-8111-111111111111"


@pytest.fixture
def hostile(server):
    """A server with the real description and answers that nobody should trust."""
    document = httpx.get(f"{server.url}/openapi.json").json()
    document["paths"]["/regions"]["get"]["x-kind"]["name"] = "region"
    document["tags"] = [{"name": "regions", "description": EVIL}]
    document["paths"]["/evil\x1b[2J"] = document["paths"]["/regions"]
    document["paths"]["/evil\x1b[2J/{id}"] = document["paths"]["/regions/{id}"]
    document["components"]["schemas"]["RegionCreate"]["properties"]["name"]["description"] = EVIL
    region = {"id": ID, "name": EVIL, "status": "active", "status_message": EVIL, EVIL: EVIL}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path == "/openapi.json":
                self.reply(200, document)
            elif self.path.startswith("/regions?"):
                self.reply(200, {"items": [region], "next_cursor": None, "has_more": False})
            elif self.path == f"/regions/{ID}":
                self.reply(200, region)
            elif self.path.startswith("/clusters?"):
                self.reply(200, [EVIL])
            elif self.path.endswith("/output"):
                self.reply(200, None, ("x\x1b[2J\n" + "y\x07\n").encode())
            else:
                self.reply(404, {"error": {"code": EVIL, "message": EVIL, "details": {EVIL: {EVIL: [EVIL]}}}})

        def do_POST(self):
            self.reply(500, {"error": {"code": "X", "message": EVIL, "details": [EVIL], "trace_id": EVIL}})

        def reply(self, status, body, raw=b""):
            data = raw or json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()


COMMANDS = [
    (0, ["regions", "list"]),
    (0, ["regions", "list", "--columns", "name"]),
    (0, ["regions", "show", ID]),
    (0, ["regions", "--help"]),
    (0, ["regions", "create", "--help"]),
    (0, ["--help"]),
    (0, ["jobs", "output", ID]),
    (3, ["jobs", "show", ID]),
    (3, ["regions", "delete", "22222222-2222-4222-8222-222222222222"]),
    (6, ["regions", "create", "--name", "x"]),
    (70, ["clusters", "list"]),
    (2, ["regions", "list", "--columns", "\x1b[2J"]),
]


@pytest.mark.parametrize(("code", "command"), COMMANDS)
def test_nothing_is_obeyed_in_a_pipe(cli, hostile, code, command):
    # JSON has all columns, so it does not mind which are named.
    for options in ([], ["--json"]) if code != 2 else ([],):
        done = cli.run(*options, *command, code=code, HOSTCTL_URL=hostile, LC_ALL="C.UTF-8")
        text = done.stdout + done.stderr
        bad = [char for char in text if (ord(char) < 0x20 and char not in "\n\t") or 0x7F <= ord(char) < 0xA0]
        assert not bad and "\u202e" not in text, (command, text)


def test_nothing_is_obeyed_on_a_terminal(cli, hostile):
    for code, command in COMMANDS:
        main, other = pty.openpty()
        process = subprocess.Popen(
            [sys.executable, "-m", "hostctl", *command],
            cwd=ROOT, env={**cli.env, "HOSTCTL_URL": hostile, "TERM": "dumb", "COLUMNS": "400", "LC_ALL": "C.UTF-8"},
            stdin=subprocess.DEVNULL, stdout=other, stderr=other,
        )  # fmt: skip
        os.close(other)
        shown = b""
        try:
            while part := os.read(main, 65536):
                shown += part
        except OSError:
            pass
        os.close(main)
        assert process.wait(30) == code, shown
        # Colours are ours; nothing else may come through.
        text = shown.decode().replace("\r\n", "\n")
        assert not [char for char in text if (ord(char) < 0x20 and char != "\n") or 0x7F <= ord(char) < 0xA0], text


def test_the_text_is_shown_as_it_is(cli, hostile):
    env = {"HOSTCTL_URL": hostile, "LC_ALL": "C.UTF-8"}
    assert SHOWN in cli.run("regions", "show", ID, **env).stdout
    assert cli.run("regions", "list", "--columns", "name", **env).stdout.splitlines()[1] == SHOWN
    found = json.loads(cli.run("regions", "show", ID, "--json", **env).stdout)
    assert found["name"] == EVIL
    assert "evil" not in cli.run("--help", **env).stdout


def test_clean():
    assert clean(EVIL) == SHOWN
    assert clean("Größe 漢字 🙂 \\x1b") == "Größe 漢字 🙂 \\x1b"
    assert clean("a\tb\nc", keep="\n") == "a\\x09b\nc"
    assert clean("\U000e0041") == "\\U000e0041"
