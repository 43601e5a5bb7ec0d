# Copyright: Hostreeve maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What each field may hold: the one place, shared by the API and the host modules.

Every function takes a value, returns the canonical form, and raises ValueError with a reason fit for a user.
The grammars are positive and anchored with fullmatch, so a newline or NUL never passes.
Standard library only: the host has nothing else.
"""

from __future__ import annotations

import ipaddress
import re

TENANT = re.compile(r"t_[a-z0-9]{10}")
WEBROOT = re.compile(r"web_[a-z0-9]{10}")
DATABASE = re.compile(r"db_[a-z0-9]{10}")
DATABASE_USER = re.compile(r"db_[a-z0-9]{10}(_[a-z0-9]([a-z0-9_]{0,15}))?")
DATABASE_SUFFIX = re.compile(r"[a-z0-9][a-z0-9_]{0,15}")
PASSWORD_HASH = re.compile(r"\*[0-9A-F]{40}")
LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
SLUG = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
FOLDER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
ENV_KEY = re.compile(r"[A-Z_][A-Z0-9_]{0,63}")
VALKEY = re.compile(r"kv_[a-z0-9]{10}")
SUFFIX = re.compile(r"[a-z0-9]([a-z0-9_-]{0,30}[a-z0-9])?")
SHA256 = re.compile(r"[0-9a-f]{64}")

#: Linux uids of tenants: above what distributions hand out, below systemd's container range (systemd UIDS-GIDS).
UID_MIN, UID_MAX = 200_000, 499_999
#: Those of the users of Valkey instances, chosen by each host: above the tenants', below systemd's container range.
VALKEY_UIDS = (500_000, 519_999)

#: Limits of a tenant: the least and the most.
LIMITS = {"cpu_percent": (5, 6400), "memory_mb": (64, 1_048_576), "tasks": (10, 100_000)}

#: Ports of Valkey instances (below what Linux hands out for outgoing connections), and their memory for data in MiB.
VALKEY_PORTS, VALKEY_MEMORY_MB = (20_000, 29_999), (16, 262_144)
#: Nodes that a highly available instance needs, for a majority to be left when one fails.
VALKEY_QUORATE = 3
#: What an instance does when its memory is full.
VALKEY_EVICTIONS = (
    "noeviction",
    "allkeys-lru",
    "allkeys-lfu",
    "allkeys-random",
    "volatile-lru",
    "volatile-lfu",
    "volatile-random",
    "volatile-ttl",
)
#: What an instance keeps over a restart: nothing, snapshots, or every write.
VALKEY_PERSISTENCES = ("none", "rdb", "aof")


#: Character sets of databases, each with its collations; the first is the usual one.
CHARSETS = {
    "utf8mb4": (
        "utf8mb4_unicode_ci",
        "utf8mb4_unicode_520_ci",
        "utf8mb4_general_ci",
        "utf8mb4_uca1400_ai_ci",
        "utf8mb4_uca1400_as_cs",
        "utf8mb4_german2_ci",
        "utf8mb4_bin",
    ),
    "latin1": ("latin1_swedish_ci", "latin1_german2_ci", "latin1_general_ci", "latin1_general_cs", "latin1_bin"),
    "ascii": ("ascii_general_ci", "ascii_bin"),
    "binary": ("binary",),
}


def _match(pattern, value, message):
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise ValueError(message)
    return value


def fqdn(value):
    """A host name as A-labels in lower case without the trailing dot, two labels or more, 253 characters at most."""
    message = "must be a lower-case host name such as www.example.com"
    if not isinstance(value, str) or "." not in value:
        raise ValueError(message)
    if len(value) > 253:
        raise ValueError("must be 253 characters or less")
    labels = value.split(".")
    if not all(LABEL.fullmatch(label) for label in labels) or labels[-1].isdigit():
        raise ValueError(message)
    return value


def tenant_name(value):
    """``t_`` and ten lower-case letters or digits."""
    return _match(TENANT, value, "must be t_ and ten lower-case letters or digits")


def webroot_name(value):
    """``web_`` and ten lower-case letters or digits."""
    return _match(WEBROOT, value, "must be web_ and ten lower-case letters or digits")


def valkey_name(value):
    """``kv_`` and ten lower-case letters or digits."""
    return _match(VALKEY, value, "must be kv_ and ten lower-case letters or digits")


def valkey_suffix(value):
    """The end of a Valkey user's name, after that of its instance and an underscore."""
    message = "must be 1 to 32 lower-case letters, digits, dashes or underscores, with a letter or digit at both ends"
    return _match(SUFFIX, value, message)


def valkey_user(value):
    """A Valkey user's name: that of its instance, an underscore, and a suffix."""
    message = "must be the name of the instance, an underscore and a suffix, such as kv_abcdefghij_app"
    if not isinstance(value, str) or value[13:14] != "_" or not SUFFIX.fullmatch(value[14:]):
        raise ValueError(message)
    _match(VALKEY, value[:13], message)
    return value


def sha256(value):
    """The SHA-256 of a password in lower-case hexadecimal digits."""
    return _match(SHA256, value, "must be 64 lower-case hexadecimal digits")


def slug(value, longest=32):
    """A short name of ours: shard, cluster, region, node."""
    message = "must be lower-case letters, digits and single dashes, starting with a letter, at most %d long" % longest
    if isinstance(value, str) and len(value) > longest:
        raise ValueError(message)
    return _match(SLUG, value, message)


def uid(value):
    """A tenant's Linux uid (and gid) as an int of the platform's range."""
    return whole(UID_MIN, UID_MAX)(value)


def whole(least, most):
    """Return a check for a whole number of a range."""

    def check(value):
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise ValueError("must be a whole number from %d to %d" % (least, most))
        return value

    return check


def public_folder(value):
    """A relative folder below the webroot: up to four plain names joined by slashes."""
    message = "must be a relative folder such as public or web/public"
    if not isinstance(value, str) or len(value) > 128:
        raise ValueError(message)
    parts = value.split("/")
    if len(parts) > 4 or not all(FOLDER.fullmatch(part) for part in parts):
        raise ValueError(message)
    return value


def text(value, longest):
    """One line of printable text: any characters but controls and lone surrogates."""
    if not isinstance(value, str):
        raise ValueError("must be text")
    if len(value) > longest:
        raise ValueError("must be %d characters or less" % longest)
    if any(ord(char) < 32 or 0x7F <= ord(char) < 0xA0 or "\ud800" <= char <= "\udfff" for char in value):
        raise ValueError("must not hold control characters")
    return value


def environment(value):
    """Environment variables of a webroot: {NAME: text of at most 1,024 characters}, 64 at most."""
    if not isinstance(value, dict) or len(value) > 64:
        raise ValueError("must be a mapping of at most 64 names")
    for key, item in value.items():
        _match(ENV_KEY, key, "names must be upper-case letters, digits and underscores")
        try:
            text(item, 1024)
        except ValueError as error:
            raise ValueError("%s: %s" % (key, error)) from None
        # php-fpm reads a variable of its own where a value starts with a dollar, and the pool's name in $pool.
        if item.startswith("$") or "$pool" in item:
            raise ValueError("%s: must not start with $ or hold $pool" % key)
    return value


def limits(value):
    """Limits of a tenant's slice: {cpu_percent, memory_mb, tasks}, whole numbers of a range; none is required."""
    if not isinstance(value, dict) or not set(value) <= set(LIMITS):
        raise ValueError("must be a mapping of " + ", ".join(LIMITS))
    for key, item in value.items():
        least, most = LIMITS[key]
        if isinstance(item, bool) or not isinstance(item, int) or not least <= item <= most:
            raise ValueError("%s: must be a whole number from %d to %d" % (key, least, most))
    return value


def database_name(value):
    """``db_`` and ten lower-case letters or digits."""
    return _match(DATABASE, value, "must be db_ and ten lower-case letters or digits")


def database_user_name(value):
    """A database's name, or that, an underscore and up to sixteen lower-case letters, digits and underscores."""
    return _match(DATABASE_USER, value, "must be the name of its database, or begin with that and an underscore")


def database_suffix(value):
    """What tells the users of a database apart; nothing for the one that is called as the database."""
    if value == "":
        return value
    return _match(DATABASE_SUFFIX, value, "must be up to sixteen lower-case letters, digits and underscores")


def charset(value):
    """A character set of databases."""
    if not isinstance(value, str) or value not in CHARSETS:
        raise ValueError("must be one of " + ", ".join(CHARSETS))
    return value


def collation(value, charset):
    """A collation of a character set; ``None`` stands for the usual one."""
    if value is None:
        return CHARSETS[charset][0]
    if value not in CHARSETS[charset]:
        raise ValueError("must be one of " + ", ".join(CHARSETS[charset]))
    return value


def database_hosts(value):
    """From where a user connects: 1 to 16 addresses and IPv4 networks, or ``%`` alone for everywhere."""
    if not isinstance(value, list) or not 1 <= len(value) <= 16:
        raise ValueError("must be a list of 1 to 16 addresses or networks, or [%]")
    hosts = [_database_host(host) for host in value]
    if len(set(hosts)) != len(hosts):
        raise ValueError("must not name a host twice")
    if "%" in hosts and len(hosts) > 1:
        raise ValueError("% stands alone")
    return hosts


def _database_host(value):
    if value == "%":
        return value
    try:
        if not isinstance(value, str) or "%" in value:
            raise ValueError
        if "/" in value:
            network = ipaddress.IPv4Network(value)
            if not 8 <= network.prefixlen <= 31:
                raise ValueError
            return str(network)
        return str(ipaddress.ip_address(value))
    except ValueError:
        raise ValueError("must be addresses, IPv4 networks such as 10.0.0.0/24 (/8 to /31), or %") from None


def password(value):
    """A password: 12 to 128 characters, any but controls."""
    if isinstance(value, str) and len(value) < 12:
        raise ValueError("must be 12 characters or more")
    return text(value, 128)


def password_hash(value):
    """What mysql_native_password keeps of a password."""
    return _match(PASSWORD_HASH, value, "must be a star and forty upper-case hexadecimal digits")
