"""What talks to Valkey: with a server that speaks its protocol, and with one that does not."""

import shutil
import socket
import threading

import pytest
from ansible_collections.hostreeve.hosting.plugins.module_utils.valkey.client import Client, ValkeyError, encode
from ansible_collections.hostreeve.hosting.plugins.module_utils.valkey.scratch import Scratch


@pytest.fixture
def answering(tmp_path_factory):
    """Return a function that starts a server which answers everybody with these bytes, and returns its socket."""
    made = []

    def start(data, linger=False):
        path = str(tmp_path_factory.mktemp("s") / "s")
        server = socket.socket(socket.AF_UNIX)
        server.bind(path)
        server.listen()
        made.append(server)

        def serve():
            connection, _ = server.accept()
            connection.recv(65536)
            try:
                connection.sendall(data)
                if linger:
                    connection.recv(1)
            except OSError:
                pass
            connection.close()

        threading.Thread(target=serve, daemon=True).start()
        return path

    yield start
    for server in made:
        server.close()


@pytest.mark.parametrize(
    ("data", "value"),
    [(b"+OK\r\n", "OK"), (b":42\r\n", 42), (b"$-1\r\n", None), (b"$0\r\n\r\n", ""), (b"$4\r\na\r\nb\r\n", "a\r\nb"),
     (b"*2\r\n$1\r\na\r\n*1\r\n:1\r\n", ["a", [1]]), (b"*0\r\n", [])],
)  # fmt: skip
def test_answers(answering, data, value):
    with Client(answering(data)) as client:
        assert client("PING") == value


@pytest.mark.parametrize(
    "data",
    [b"", b"HTTP/1.1 200 OK\r\n", b"-ERR no\r\n", b"$x\r\n", b"$99999999999\r\n", b"*3\r\n+a\r\n", b"!\r\n",
     b"*1\r\n" * 9 + b"+a\r\n", b"x" * 5_000_000],
)  # fmt: skip
def test_other_answers_are_refused(answering, data):
    with pytest.raises(ValkeyError), Client(answering(data)) as client:
        client("PING")


def test_an_answer_that_never_ends_is_not_waited_for(answering):
    with pytest.raises(TimeoutError), Client(answering(b"$10\r\nabc", linger=True), patience=0.2) as client:
        client("PING")


def test_a_word_is_never_more_than_a_word():
    assert encode(["SET", "a b\r\nFLUSHALL", "ä"]) == b"*3\r\n$3\r\nSET\r\n$13\r\na b\r\nFLUSHALL\r\n$2\r\n\xc3\xa4\r\n"


@pytest.fixture(scope="module")
def binary():
    """A Valkey, or a Redis, whose ACLs are the same as far as they are tried here."""
    found = shutil.which("valkey-server") or shutil.which("redis-server")
    assert found, "neither valkey-server nor redis-server is installed"
    return found


def test_rules_are_tried(binary):
    line = "user kv_abcdefghij_app on sanitize-payload #%s %%s" % ("a" * 64)
    with Scratch(binary) as scratch:
        assert scratch.refuses(line % "~* &* +@all -@admin -migrate") is None
        assert "nosuch" in scratch.refuses(line % "+nosuch")
        assert scratch.refuses(line % "+get") is None


def test_what_does_not_start_is_an_error():
    with pytest.raises(OSError, match="does not start"), Scratch("/bin/false"):
        pass
