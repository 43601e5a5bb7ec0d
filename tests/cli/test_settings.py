"""Where the server and the key come from, and to whom the key goes."""

from __future__ import annotations

import pytest

from tests.cli.proxy import Proxy

OTHERS = "hr_of_the_profile"


@pytest.fixture
def home(cli):
    """A home without settings in the environment."""
    del cli.env["HOSTCTL_URL"], cli.env["HOSTCTL_KEY_FILE"]
    (cli.home / ".config" / "hostctl").mkdir(parents=True)
    return cli.home


@pytest.fixture
def write(home):
    """Write the settings file, readable by the user alone."""

    def write(text, mode=0o600):
        path = home / ".config" / "hostctl" / "config.toml"
        path.write_text(text)
        path.chmod(mode)
        return path

    return write


@pytest.fixture
def proxy(server):
    proxy = Proxy(server.url, lambda answer: None)
    yield proxy
    proxy.close()


def sent(proxy):
    """Return the keys that travelled."""
    return {
        line.partition(b": ")[2].decode()
        for request in proxy.requests
        for line in request.split(b"\r\n")
        if line.lower().startswith(b"authorization")
    }


def test_profiles(cli, server, write, home):
    write(
        f"""
profile = "two"
[profiles.one]
url = "http://127.0.0.1:9"
[profiles.two]
url = "{server.url}/"
key_file = "two.key"
timeout = 5
"""
    )
    key = home / ".config" / "hostctl" / "two.key"
    key.write_text(server.key + "\n")
    key.chmod(0o600)
    assert cli.json("regions", "list") == []
    assert cli.json("--profile", "two", "regions", "list", HOSTCTL_PROFILE="one") == []
    cli.run("regions", "list", code=6, HOSTCTL_PROFILE="one")
    assert "profiles.three" in cli.run("--profile", "three", "regions", "list", code=2).stderr


def test_a_key_that_others_can_read_is_refused(cli, server, write, home):
    path = home / "open.key"
    path.write_text(server.key)
    for mode in (0o640, 0o604, 0o620):
        path.chmod(mode)
        done = cli.run("--url", server.url, "--key-file", str(path), "regions", "list", code=2)
        assert f"mode {mode:04o}" in done.stderr and f"chmod 600 {path}" in done.stderr
        assert server.key not in done.stderr
    path.chmod(0o400)
    cli.run("--url", server.url, "--key-file", str(path), "regions", "list")
    text = f'[profiles.default]\nurl = "{server.url}"\nkey = "{server.key}"\n'
    write(text, mode=0o644)
    assert "refused" in cli.run("regions", "list", code=2).stderr
    write(text)
    cli.run("regions", "list")


def test_a_profiles_key_goes_to_the_profiles_server_only(cli, server, proxy, write):
    write(f'[profiles.default]\nurl = "{server.url}"\nkey = "{OTHERS}"\n')
    cli.run("--url", proxy.url, "regions", "list", code=5)
    cli.run("regions", "list", code=5, HOSTCTL_URL=proxy.url)
    assert sent(proxy) == set()
    cli.run("regions", "list", HOSTCTL_URL=proxy.url, HOSTCTL_KEY=server.key)
    assert sent(proxy) == {f"Bearer {server.key}"}
    # The same server, spelled as in the profile: its own key.
    write(f'[profiles.default]\nurl = "{proxy.url}"\nkey = "{OTHERS}"\n')
    cli.run("regions", "list", code=5, HOSTCTL_URL=proxy.url + "/")
    assert f"Bearer {OTHERS}" in sent(proxy)


def test_what_goes_before_what(cli, server, proxy, write, home):
    write(f'[profiles.default]\nurl = "{proxy.url}"\nkey = "hr_profile"\n')
    path = home / "file.key"
    path.write_text("hr_file")
    path.chmod(0o600)
    cli.run("regions", "list", code=5)
    cli.run("regions", "list", code=5, HOSTCTL_KEY_FILE=str(path))
    assert sent(proxy) == {"Bearer hr_profile", "Bearer hr_file"}
    proxy.requests.clear()
    cli.run("regions", "list", code=5, HOSTCTL_KEY_FILE=str(path), HOSTCTL_KEY="hr_variable")
    assert sent(proxy) == {"Bearer hr_variable"}
    proxy.requests.clear()
    cli.run("--key-file", str(path), "regions", "list", code=5, HOSTCTL_KEY="hr_variable")
    assert sent(proxy) == {"Bearer hr_file"}


@pytest.mark.parametrize(
    "text",
    [
        "url = 'http://127.0.0.1:8000'",
        "[profiles.default]\nurl = 8000",
        "[profiles.default]\nkeyfile = 'x'",
        "[profiles.default]\ntimeout = true",
        "profile = 'gone'",
        "profiles = 1",
        "[profiles",
    ],
)
def test_a_wrong_file_is_refused(cli, write, text):
    done = cli.run("regions", "list", code=2, HOSTCTL_KEY="hr_x")
    assert "HOSTCTL_URL" in done.stderr
    path = write(text)
    done = cli.run("regions", "list", code=2, HOSTCTL_KEY="hr_x", HOSTCTL_URL="http://127.0.0.1:9")
    assert str(path) in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "url", ["ftp://x", "x", "http://", "http://a:b@x", "http://x:port", "https://x?y", "http://[x"]
)
def test_a_wrong_url_is_refused(cli, home, url):
    assert "must look like" in cli.run("regions", "list", code=2, HOSTCTL_URL=url, HOSTCTL_KEY="hr_x").stderr


def test_a_wrong_key_or_time_is_refused(cli, server, home):
    for key in ("hr_\nx: y", "schlüssel", "a b"):
        assert "characters that no key has" in cli.run(
            "regions", "list", code=2, HOSTCTL_URL=server.url, HOSTCTL_KEY=key
        ).stderr  # fmt: skip
    done = cli.run("regions", "list", code=2, HOSTCTL_URL=server.url, HOSTCTL_KEY="k", HOSTCTL_TIMEOUT="soon")
    assert "number of seconds" in done.stderr
    gone = cli.run("--config", str(home / "gone.toml"), "regions", "list", code=2)
    assert "There is no settings file" in gone.stderr
    gone = cli.run("regions", "list", code=2, HOSTCTL_URL=server.url, HOSTCTL_KEY_FILE=str(home / "gone.key"))
    assert "cannot be read" in gone.stderr


def test_a_server_without_tls_elsewhere_is_warned_of(cli, home):
    done = cli.run("regions", "list", code=6, HOSTCTL_URL="http://host.invalid", HOSTCTL_KEY="hr_x")
    assert "without TLS" in done.stderr
    done = cli.run("regions", "list", code=6, HOSTCTL_URL="https://127.0.0.1:9", HOSTCTL_KEY="hr_x")
    assert "without TLS" not in done.stderr
