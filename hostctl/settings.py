"""Settings: command line, environment, profile of a TOML file, in this order.

A key belongs to the server that it was written for: a key of a profile goes to the profile's URL only, never to one
that the command line or the environment named.
"""

from __future__ import annotations

import ipaddress
import os
import re
import stat
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import platformdirs

from hostctl.errors import Exit, Failure

KEY = re.compile(r"[\x21-\x7e]{1,512}")
#: what a profile may hold, and of which type
FIELDS: dict[str, tuple[type, ...]] = {
    "url": (str,),
    "key": (str,),
    "key_file": (str,),
    "ca_file": (str,),
    "timeout": (int, float),
}
TIMEOUT = 30.0


@dataclass(frozen=True)
class Settings:
    """Where the API is and who asks."""

    url: str
    #: empty when none is set; what is public works without
    key: str
    #: seconds
    timeout: float = TIMEOUT
    #: PEM file of the authorities to trust, instead of the system's
    ca_file: str = ""
    profile: str = ""

    def __repr__(self) -> str:
        """Leave the key out: settings may end up in a traceback."""
        return f"Settings(url={self.url!r}, profile={self.profile!r})"

    @classmethod
    def load(
        cls, options: Mapping[str, Any], warn: Callable[[str], None], environ: Mapping[str, str] = os.environ
    ) -> Settings:
        """Return the settings; Failure (usage) names what is missing or unsafe."""
        given = {
            name: options.get(name) or environ.get(f"HOSTCTL_{name.upper()}") or None
            for name in ("url", "key_file", "timeout", "profile", "config", "ca_file")
        }
        path = Path(given["config"] or platformdirs.user_config_path("hostctl") / "config.toml")
        name, profile = _profile(path, given["profile"], required=bool(given["config"]))
        url = _url(str(given["url"] or profile.get("url") or ""), warn)
        if given["url"] and profile.get("url") and url != _url(str(profile["url"]), lambda _text: None):
            profile = {key: value for key, value in profile.items() if key not in ("key", "key_file", "ca_file")}
        return cls(
            url=url,
            key=_key(options, environ, profile, path),
            timeout=_seconds(given["timeout"] or profile.get("timeout") or TIMEOUT),
            ca_file=str(given["ca_file"] or _expand(profile.get("ca_file", ""), path)),
            profile=name,
        )


def _profile(path: Path, name: str | None, *, required: bool) -> tuple[str, dict[str, Any]]:
    """Return the profile's name and values; without a file there is none."""
    try:
        data = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        if required or name:
            raise Failure(f"There is no settings file {path}.", Exit.USAGE) from None
        return "", {}
    except (OSError, ValueError) as error:
        raise Failure(f"The settings file {path} cannot be read: {error}", Exit.USAGE) from None
    profiles = data.get("profiles", {})
    if not isinstance(profiles, dict):
        raise Failure(f"{path}: settings stand in [profiles.NAME]", Exit.USAGE)
    name = name or data.get("profile") or ("default" if "default" in profiles else None)
    if unknown := sorted(data.keys() - {"profile", "profiles"}):
        raise Failure(f"{path}: unknown setting: {', '.join(unknown)} (settings stand in [profiles.NAME])", Exit.USAGE)
    if name is None:
        return "", {}
    if not isinstance(profiles.get(name), dict):
        raise Failure(f"{path}: there is no [profiles.{name}]", Exit.USAGE)
    profile = profiles[name]
    for key, value in profile.items():
        if key not in FIELDS or not isinstance(value, FIELDS[key]) or isinstance(value, bool):
            raise Failure(f"{path}: profiles.{name}.{key} is not known, or not of the right type", Exit.USAGE)
    return str(name), profile


def _url(text: str, warn: Callable[[str], None]) -> str:
    if not text:
        raise Failure("No server: set HOSTCTL_URL, --url, or a profile's url in the settings file.", Exit.USAGE)
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018 - raises for a malformed one
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment or parts.username:
        raise Failure("The server's URL must look like https://api.example.net", Exit.USAGE)
    if parts.scheme == "http" and not _is_here(parts.hostname):
        warn(f"{parts.hostname} is spoken to without TLS: the API key travels readable")
    return text.rstrip("/")


def _is_here(host: str) -> bool:
    """Tell whether a host is this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _key(options: Mapping[str, Any], environ: Mapping[str, str], profile: Mapping[str, Any], path: Path) -> str:
    """Return the key: ``--key-file``, HOSTCTL_KEY, HOSTCTL_KEY_FILE, the profile's."""
    if options.get("key_file"):
        key = _read_private(Path(options["key_file"]))
    elif environ.get("HOSTCTL_KEY"):
        key = environ["HOSTCTL_KEY"]
    elif environ.get("HOSTCTL_KEY_FILE"):
        key = _read_private(Path(environ["HOSTCTL_KEY_FILE"]))
    elif profile.get("key_file"):
        key = _read_private(Path(_expand(profile["key_file"], path)))
    elif profile.get("key"):
        _must_be_private(path)
        key = str(profile["key"])
    else:
        return ""
    key = key.strip()
    if not KEY.fullmatch(key):
        raise Failure("The API key is empty or holds characters that no key has.", Exit.USAGE)
    return key


def _read_private(path: Path) -> str:
    _must_be_private(path)
    try:
        return path.read_text("ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise Failure(f"The key file {path} cannot be read: {error}", Exit.USAGE) from None


def _must_be_private(path: Path) -> None:
    """Refuse a file with a key that others can read or change: the key may be known already."""
    try:
        found = path.stat()
    except OSError as error:
        raise Failure(f"The key file {path} cannot be read: {error.strerror}", Exit.USAGE) from None
    if stat.S_ISREG(found.st_mode) and found.st_mode & 0o077:
        raise Failure(
            f"The key in {path} is refused: others can read or change the file (mode {found.st_mode & 0o777:04o}).",
            Exit.USAGE,
            [f"Run: chmod 600 {path}", "If others use this machine, take the key as known and issue a new one."],
        )


def _expand(text: str, beside: Path) -> str:
    """Return a path of the settings file: ``~`` is the home, a relative one lies beside the file."""
    return str(beside.parent / Path(text).expanduser()) if text else ""


def _seconds(value: Any) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 86_400:
        raise Failure("The timeout must be a number of seconds.", Exit.USAGE)
    return seconds
