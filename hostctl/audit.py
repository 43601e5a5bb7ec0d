"""``hostctl audit``: verify the chain, and export it.

What was verified is remembered per server, so that whatever is later cut off or written anew is found.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

import click
import httpx
import platformdirs

from auditchain import Broken, Verdict
from auditchain import verify as verify_lines
from hostctl.base import App, Group, pass_app
from hostctl.client import Client, refusal, unreachable
from hostctl.errors import Exit, Failure

EXPORT = "/audit/export"
HEAD = re.compile(r"([0-9]{1,18}):([0-9a-f]{64})")
KEY_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@click.group("audit", cls=Group)
def audit() -> None:
    """Prove the audit, or export it."""


def _heads(_ctx: click.Context, _param: click.Parameter, values: tuple[str, ...]) -> dict[int, str]:
    found: dict[int, str] = {}
    for value in values:
        match = HEAD.fullmatch(value.strip())
        if not match:
            raise click.BadParameter("must look like 1234:0f1e…, a number and 64 hexadecimal digits")
        seq = int(match[1])
        if found.setdefault(seq, match[2]) != match[2]:
            raise click.BadParameter(f"record {seq} cannot have two hashes")
    return found


def _key_ids(_ctx: click.Context, _param: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        if not KEY_ID.fullmatch(value):
            raise click.BadParameter("must be the id of a key, as `GET /audit/keys` shows it")
    return values


@audit.command()
@click.option("--file", "source", type=click.File("rb"), help="Verify an export instead of the server; - is stdin.")
@click.option(
    "--head", "heads", multiple=True, metavar="SEQ:HASH", callback=_heads,
    help="A head from elsewhere, such as the audit_head of a host: the chain must hold it.",
)  # fmt: skip
@click.option(
    "--key", "trusted", multiple=True, metavar="ID", callback=_key_ids,
    help="The first key of the platform; no other is trusted as such.",
)  # fmt: skip
@click.option("--forget", is_flag=True, help="Forget what was verified of this server before.")
@pass_app
def verify(app: App, source: BinaryIO | None, heads: dict[int, str], trusted: tuple[str, ...], forget: bool) -> None:
    """Verify every record, and that none is missing, moved, changed or added.

    The exit code is 1 for a chain that does not hold, and the first record that is wrong is named. What was verified
    is remembered for the next time; a file is verified for itself, without this memory.
    """
    memory = Memory(app.client.url) if source is None else None
    if memory is not None and forget:
        memory.forget()
    known = memory.load() if memory is not None else {}
    if known:
        if heads.setdefault(known["seq"], known["hash"]) != known["hash"]:
            raise _broken(Broken(known["seq"], "the head that was given is not the one that was verified before"))
        trusted = trusted or (known["root"],)
    try:
        verdict = verify_lines(source or _streamed(app.client), heads=heads, trusted=trusted)
    except Broken as error:
        raise _broken(error) from None
    if memory is not None and verdict.complete and verdict.records:
        memory.store(verdict)
    _show(app, verdict, heads)


@audit.command()
@click.option("--format", "kind", type=click.Choice(["jsonl", "csv"]), default="jsonl", show_default=True)
@click.option("-o", "--output", "target", type=click.File("wb"), default="-", help="File; stdout without.")
@pass_app
def export(app: App, kind: str, target: BinaryIO) -> None:
    """Write the audit as JSON lines, which can be verified anywhere, or as CSV."""
    for line in _streamed(app.client, kind):
        target.write(line)


def _streamed(client: Client, kind: str = "jsonl") -> Iterator[bytes]:
    """Yield the lines of the server's export. Only line feeds end a line: texts may hold what Python takes for one."""
    try:
        headers = {**client.authorization(), "Accept": "*/*"}
        with client.http.stream("GET", client.url + EXPORT, params={"format": kind}, headers=headers) as answer:
            if not answer.is_success:
                answer.read()
                raise refusal(answer)
            yield from _lines(answer.iter_bytes())
    except httpx.TransportError as error:
        raise unreachable(client.url, error) from None


def _lines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    rest = b""
    for piece in pieces:
        *whole, rest = (rest + piece).split(b"\n")
        yield from (line + b"\n" for line in whole)
    if rest:
        yield rest


def _broken(error: Broken) -> Failure:
    message = f"The audit does not hold: {error}"
    return Failure(
        message,
        Exit.FAILED,
        error={"code": "AUDIT_BROKEN", "message": message, "details": {"seq": error.seq, "reason": error.reason}},
    )


def _show(app: App, verdict: Verdict, heads: dict[int, str]) -> None:
    if not verdict.complete and heads:
        app.out.warn("a part of the audit cannot be held against heads: that needs an export of a key of all brands")
    for seq in verdict.unchecked:
        app.out.warn(f"record {seq} was pruned, so its hash could not be compared")
    if app.out.json:
        app.out.data({"holds": True, **asdict(verdict)})
        return
    if not verdict.complete:
        app.out.line(
            f"{verdict.records} records are as they were sealed. Whether any is missing, only the whole tells."
        )
        return
    app.out.line(f"The audit holds: {verdict.records} records, up to {verdict.seq}.", style="green")
    if verdict.pruned:
        app.out.line(f"{verdict.pruned} older ones were pruned, up to {verdict.pruned_seq}.")
    if verdict.unsealed:
        app.out.line(f"{verdict.unsealed} are from before the chain, and as they were when it began.")
    app.out.line(f"head {verdict.seq}:{verdict.hash}")
    app.out.line(f"key  {verdict.root}")


class Memory:
    """What was verified of a server: the last head, and the key that all others were introduced by."""

    def __init__(self, url: str) -> None:
        self._url = url
        name = hashlib.sha256(url.encode()).hexdigest()[:32]
        self._path = platformdirs.user_state_path("hostctl") / "audit" / f"{name}.json"

    def load(self) -> dict[str, Any]:
        """Return ``{"seq", "hash", "root"}``, or nothing; Failure if there is something else."""
        try:
            found = json.loads(self._path.read_text("utf-8"))
            known = {"seq": int(found["seq"]), "hash": str(found["hash"]), "root": str(found["root"])}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, KeyError, TypeError):
            # Not in silence: whoever can damage this file could hide what it would have found.
            raise Failure(
                f"What was verified before cannot be read: {self._path}", Exit.USAGE, ["--forget begins anew."]
            ) from None
        return known

    def store(self, verdict: Verdict) -> None:
        """Remember the head."""
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        known = {"url": self._url, "seq": verdict.seq, "hash": verdict.hash, "root": verdict.root}
        handle, name = tempfile.mkstemp(dir=self._path.parent)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(known, file)
        Path(name).replace(self._path)

    def forget(self) -> None:
        """Forget it."""
        with suppress(FileNotFoundError):
            self._path.unlink()
