import getpass
import grp
import json
import os
import stat

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.hostreeve.hosting.plugins.modules import config_files

ME = {"owner": getpass.getuser(), "group": grp.getgrgid(os.getgid()).gr_name}


@pytest.fixture
def run(capsys, tmp_path):
    def call(*files, check=False):
        capsys.readouterr()
        arguments = {
            "files": [{**ME, **file, "path": str(tmp_path / file["path"])} for file in files],
            "_ansible_check_mode": check,
            "_ansible_remote_tmp": str(tmp_path.parent),
        }
        with patch_module_args(arguments), pytest.raises(SystemExit):
            config_files.main()
        return json.loads(capsys.readouterr().out)

    return call


def test_what_is_predicted_is_made_and_made_once(run, tmp_path):
    files = [
        {"path": "d", "mode": "0711"},
        {"path": "d/a.conf", "content": "ä = {{ 1 }}\n", "notify": "Reload"},
        {"path": "b.conf", "content": "", "mode": "0600", "notify": "Reload"},
    ]
    predicted = run(*files, check=True)
    assert not (tmp_path / "d").exists()
    made = run(*files)
    assert predicted == made
    assert made["changed"] and made["notify"] == ["Reload"]
    assert made["paths"] == [str(tmp_path / file["path"]) for file in files]
    assert (tmp_path / "d/a.conf").read_text() == "ä = {{ 1 }}\n"
    modes = [stat.S_IMODE((tmp_path / file["path"]).stat().st_mode) for file in files]
    assert modes == [0o711, 0o644, 0o600]
    again = run(*files)
    assert (again["changed"], again["paths"], again["notify"], again["diff"]) == (False, [], [], [])


def test_only_what_changed_is_told(run, tmp_path):
    files = [{"path": name, "content": "1\n", "notify": name} for name in ("a", "b", "c")]
    run(*files)
    (tmp_path / "b").write_text("2\n")
    (tmp_path / "c").chmod(0o600)
    result = run(*files)
    assert result["notify"] == ["b", "c"]
    assert result["diff"][0]["before"] == "2\n"
    assert "mode: 0600" in result["diff"][1]["before"] and "mode: 0644" in result["diff"][1]["after"]


def test_one_that_is_not_valid_lets_all_as_they_were(run, tmp_path):
    (tmp_path / "a").write_text("old\n")
    files = [
        {"path": "a", "content": "new\n", "validate": "/bin/grep -q new %s"},
        {"path": "b", "content": "bad\n", "validate": "/bin/grep -c good %s"},
    ]
    for check in (True, False):
        result = run(*files, check=check)
        assert result["failed"] and f"{tmp_path}/b is not valid" in result["msg"]
        assert (tmp_path / "a").read_text() == "old\n" and not (tmp_path / "b").exists()


def test_a_link_is_replaced_and_what_it_names_stays(run, tmp_path):
    (tmp_path / "target").write_text("stays\n")
    (tmp_path / "a").symlink_to(tmp_path / "target")
    assert run({"path": "a", "content": "new\n"})["changed"]
    assert not (tmp_path / "a").is_symlink() and (tmp_path / "target").read_text() == "stays\n"


def test_a_directory_behind_a_link_is_one(run, tmp_path):
    (tmp_path / "real").mkdir(mode=0o755)
    (tmp_path / "d").symlink_to(tmp_path / "real")
    assert not run({"path": "d"})["changed"]


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        ({"path": "d", "content": "x"}, "is something else than a file"),
        ({"path": "f"}, "is something else than a directory"),
        ({"path": "x", "content": "x", "mode": "rw"}, "mode must be octal"),
        ({"path": "x", "content": "x", "mode": "77777"}, "mode must be octal"),
        ({"path": "x", "content": "x", "owner": "nobody-of-that-name"}, "there is no nobody-of-that-name"),
        ({"path": "missing/x", "content": "x"}, "No such file or directory"),
    ],
)
def test_what_cannot_be_made_is_named(run, tmp_path, file, reason):
    (tmp_path / "d").mkdir()
    (tmp_path / "f").write_text("x")
    result = run(file)
    assert result["failed"] and reason in result["msg"]


def test_what_an_earlier_task_only_predicted_is_no_obstacle(run):
    file = {"path": "x/y/z", "content": "x", "owner": "comes-with-a-package", "validate": "/usr/sbin/comes-too %s"}
    assert run(file, check=True)["changed"]
