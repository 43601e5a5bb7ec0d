"""The furnished platform of the job tests, receivers that are real servers here, and REST beside them."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import sqlalchemy as sa

from api.app import create_app
from api.auth.keys import issue
from api.core.db import now
from api.notify.models import Notice
from api.notify.sender import Sender, due, take
from tests.api.conftest import Rest
from tests.jobs.conftest import Engine, engine, fqdn, prepare  # noqa: F401 - fixtures


@dataclass
class Got:
    """A request that a receiver got."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """A web server that keeps what it gets, and answers as it is told."""

    #: gives (status, headers, body) for a request; may wait
    answer: Callable[[Got], tuple[int, dict[str, str], bytes]] = lambda _: (204, {}, b"")
    got: list[Got] = field(default_factory=list)
    server: Any = None

    @property
    def port(self) -> int:
        return int(self.server.server_address[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers.get("Content-Length", 0))
                got = Got(self.path, dict(self.headers), self.rfile.read(length))
                receiver.got.append(got)
                status, headers, body = receiver.answer(got)
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def receivers() -> Iterator[Callable[[], Receiver]]:
    """Make receivers."""
    made = []

    def make() -> Receiver:
        made.append(Receiver())
        made[-1].start()
        return made[-1]

    yield make
    for receiver in made:
        receiver.stop()


@pytest.fixture
def receiver(receivers: Callable[[], Receiver]) -> Receiver:
    return receivers()


@dataclass
class Stage:
    """The platform with an operator's key and the brand's, and a sender that sends when it is asked to."""

    engine: Engine
    settings: Any
    rest: Rest
    brand: Rest
    sender: Sender

    def webhook(self, url: str, *, rest: Rest | None = None, **fields: Any) -> dict[str, Any]:
        """Make a notification; return it with its secret."""
        body = {"name": "Hook", "type": "webhook", "url": url, "topics": ["resource_active"], **fields}
        answer = (rest or self.rest).post("/notifications", body)
        assert answer.status_code == 202, answer.text
        return {**answer.json["resource"], "secret": answer.json.get("secret")}

    def send(self, sender: Sender | None = None) -> int:
        """Send all that is due; return how many notices were taken."""
        count = 0
        while True:
            with self.engine.maker() as session:
                found = due(session, 100)
            for entry in found:
                with self.engine.maker.begin() as session:
                    taken = take(session, *entry)
                assert taken is not None
                (sender or self.sender).send(taken)
                count += 1
            if not found:
                return count

    def later(self) -> None:
        """Let the time come at which everything is tried again."""
        with self.engine.maker.begin() as session:
            session.execute(sa.update(Notice).values(next_at=now()))

    def notices(self, **values: Any) -> list[Notice]:
        found: list[Notice] = self.engine.all(sa.select(Notice).filter_by(**values).order_by(Notice.created_at))
        return found

    def notice(self, id_: Any) -> Notice:
        return self.notices(id=uuid.UUID(str(id_)))[0]


@pytest.fixture
def stage(engine: Engine) -> Stage:  # noqa: F811
    settings = replace(engine.settings, notify_allow="127.0.0.0/8", smtp_url="")
    app = create_app(settings)
    with engine.maker.begin() as session:
        operator = issue(session, "operator", ["*"], ["*"])[1]
        brand = issue(session, "portal", ["*"], [str(engine.ids["brand"])])[1]
    return Stage(engine, settings, Rest(app, operator), Rest(app, brand), Sender(settings, engine.maker))


def until(check: Callable[[], Any], seconds: float = 30) -> Any:
    end = time.monotonic() + seconds
    while not (found := check()):
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.05)
    return found
