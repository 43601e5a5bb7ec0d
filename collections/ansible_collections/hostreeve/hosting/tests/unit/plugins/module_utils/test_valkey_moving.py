"""What a move asks before it begins, and what a move that failed leaves, on a host that is a directory of this test."""

import os
import shutil
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest
from ansible_collections.hostreeve.hosting.plugins.module_utils.valkey import config, memory, moving
from ansible_collections.hostreeve.hosting.plugins.module_utils.valkey.client import ValkeyError
from ansible_collections.hostreeve.hosting.plugins.module_utils.valkey.host import Host

KA, KB, KC = "kv_aaaaaaaaaa", "kv_bbbbbbbbbb", "kv_cccccccccc"
UID = 500000


@pytest.fixture
def root():
    """A directory that users of instances may enter, which pytest's own ones are not."""
    path = Path(tempfile.mkdtemp())
    path.chmod(0o755)
    for one in ("etc/hostreeve/valkey", "srv/valkey", "proc"):
        (path / one).mkdir(parents=True)
    (path / "proc/meminfo").write_text("MemTotal:  1048576 kB\n")
    yield path
    shutil.rmtree(path)


def put(root, name, memory_mb=64, persistence="rdb"):
    """Put an instance there, with a snapshot among its data."""
    item = SimpleNamespace(name=name, port=20001, memory_mb=memory_mb, eviction="noeviction", persistence=persistence)
    text = config.render("t_aaaaaaaaaa", config.settings(item, ["*"], 100))
    (root / "etc/hostreeve/valkey" / (name + ".conf")).write_text(text)
    data = root / "srv/valkey" / name
    data.mkdir(mode=0o700)
    (data / "dump.rdb").write_text("REDIS")
    return data


def test_a_host_takes_what_fits_beside_its_instances(root):
    put(root, KA, 300)
    put(root, KB, 500)

    def refusal(more):
        host = Host(str(root))
        return memory.full(host, memory.given(host, host.moved), more, 50)

    assert refusal(1), "800 of 512 MiB are given"
    (root / "etc/hostreeve/valkey" / (KB + ".moved")).write_text("")
    # One that has moved away needs none.
    assert refusal(212) is None
    assert refusal(213).startswith("memory_mb: 300 of 512 MiB are given to instances of this host (50 % of its memory)")


def test_nothing_is_copied_to_a_host_without_room(root, monkeypatch):
    monkeypatch.setattr(moving.subprocess, "run", lambda *_, **__: pytest.fail("something was started"))
    with pytest.raises(ValkeyError, match="memory_mb: 0 of 512 MiB"):
        moving.Copy(Host(str(root)), KC).follow("192.0.2.1", 20001, 513, 50)


@pytest.mark.parametrize(("seconds", "took", "needed"), [(60, 20.1, 61), (5, 1.7, 6)])
def test_nothing_waits_for_a_comparison_that_takes_too_long(root, seconds, took, needed):
    with pytest.raises(
        ValkeyError, match=f"about {took:.0f} seconds: a longer move_lock_seconds is needed, of {needed}$"
    ):
        moving.close(Host(str(root)), KA, seconds, took)


@pytest.mark.parametrize("took", [0.0, 20.0])
def test_one_that_is_quick_enough_is_closed(root, took):
    with pytest.raises(OSError, match=r"No such file|AF_UNIX"):  # nothing listens here
        moving.close(Host(str(root)), KA, 60, took)


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes the instance's user")
@pytest.mark.parametrize(("persistence", "stays"), [("rdb", True), ("none", False), ("aof", False)])
def test_a_snapshot_stays_only_where_it_is_kept_anyway(root, persistence, stays):
    data = put(root, KA, persistence=persistence)
    os.chown(data, UID, UID)
    home = f"{config.DATA}/{KA}"
    (root / "etc/passwd").write_text(f"{KA}:x:{UID}:{UID}:Hostreeve Valkey instance:{home}:/usr/sbin/nologin\n")
    host = Host(str(root))
    host.running = set()
    moving._unsave(host, KA)
    assert (data / "dump.rdb").exists() is stays
    moving._unsave(host, KA)  # nothing is there any more


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes the instance's user")
def test_a_link_is_removed_and_not_what_it_names(root):
    data, other = put(root, KA, persistence="none"), root / "etc/other"
    other.write_text("somebody's")
    (data / "dump.rdb").unlink()
    (data / "dump.rdb").symlink_to(other)
    os.chown(data, UID, UID)
    home = f"{config.DATA}/{KA}"
    (root / "etc/passwd").write_text(f"{KA}:x:{UID}:{UID}:Hostreeve Valkey instance:{home}:/usr/sbin/nologin\n")
    host = Host(str(root))
    host.running = set()
    moving._unsave(host, KA)
    assert not (data / "dump.rdb").is_symlink() and other.read_text() == "somebody's"
