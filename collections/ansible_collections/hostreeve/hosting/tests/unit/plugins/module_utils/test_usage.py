"""What is read of INFO, whoever answers, and of directories, whatever lies in them."""

from __future__ import annotations

import pytest
from ansible_collections.hostreeve.hosting.plugins.module_utils import files
from ansible_collections.hostreeve.hosting.plugins.module_utils.valkey import usage

INFO = {
    **dict.fromkeys(usage.FIELDS.values(), "7"),
    "role": "master",
    "db0": "keys=3,expires=1,avg_ttl=0",
    "db15": "keys=40,expires=0,avg_ttl=0",
    "dbx": "keys=nonsense",
}


def test_numbers_of_an_instance():
    told = usage.parse(INFO)
    assert told["state"] == "up" and told["keys"] == 43 and told["connections"] == 6
    assert {told[field] for field in usage.FIELDS if field != "connections"} == {7}
    assert usage.parse({**INFO, "role": "slave"})["state"] == "replica"
    assert usage.parse({**INFO, "connected_clients": "0"})["connections"] == 0


@pytest.mark.parametrize("value", ["", "-1", "1.5", "1e3", "٣", "0x1", " 7", "nan", "1_000", "9" * 19, "{{ 7 }}"])
@pytest.mark.parametrize("name", ["used_memory", "db0"])
def test_what_is_no_number_is_no_answer(name, value):
    lie = {name: "keys=" + value if name == "db0" else value}
    with pytest.raises(ValueError, match="not the form"):
        usage.parse({**INFO, **lie})
    with pytest.raises(ValueError, match="not the form"):
        usage.parse({key: text for key, text in INFO.items() if key != "used_memory"})


def test_sizes_below_a_directory(tmp_path, monkeypatch):
    (tmp_path / "sub").mkdir()
    for name, size in (("a", 100_000), ("sub/b", 50_000)):
        (tmp_path / name).write_bytes(b"x" * size)
    (tmp_path / "link").symlink_to("/usr/lib")
    (tmp_path / "sub" / "up").symlink_to(tmp_path)
    found = dict(files.on_disk(str(tmp_path)))
    assert found.keys() == {"a", "b", "link", "up"}
    assert 150_000 <= sum(found.values()) < 250_000
    assert list(files.on_disk(str(tmp_path / "none"))) == list(files.on_disk(str(tmp_path / "a"))) == []
    monkeypatch.setattr(files, "MOST_FILES", 2)
    assert len(list(files.on_disk(str(tmp_path)))) <= 2
