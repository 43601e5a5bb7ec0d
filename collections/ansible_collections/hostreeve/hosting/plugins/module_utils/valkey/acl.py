# Copyright: Hostreeve maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a Valkey user may do: presets, rules that a customer writes, and the ACL file of an instance.

Nothing here touches the host. A password is only ever its SHA-256, as Valkey's ``#hash``, and texts for people are
without it.
"""

from __future__ import annotations

import re

from ansible_collections.hostreeve.hosting.plugins.module_utils import grammar

#: The platform's own user, through which settings change while an instance runs.
ADMIN = "hostreeve"

#: What a user of each kind may do; "custom" stands for rules of its own.
PRESETS = {
    "all": "~* &* +@all",
    "read-write": "~* resetchannels -@all +@read +@write +@connection +@transaction +info",
    "read-only": "~* resetchannels -@all +@read +@connection +@transaction +info",
    "pubsub": "resetkeys &* -@all +@pubsub +@connection",
}
ACCESSES = (*PRESETS, "custom")

#: Comes after every user's rules, so that nothing before it counts: no settings, replication, snapshots or ACLs, and
#: no connections from the host to elsewhere.
DENIED = "-@admin -migrate"

#: Where the Sentinels of a highly available instance find each other and its nodes. What somebody else says there they
#: believe: they would log in at an address of his.
HELLO = "__sentinel__:hello"
#: Comes after DENIED for users of highly available instances who hear every channel: they speak in all but those that
#: begin with two underscores.
_SPEAKS = "-publish (+publish &[^_]* &_[^_]* &_)"

CATEGORIES = frozenset(
    {"all", "bitmap", "blocking", "connection", "dangerous", "fast", "geo", "hash", "hyperloglog", "keyspace", "list"}
    | {"pubsub", "read", "scripting", "set", "slow", "sortedset", "stream", "string", "transaction", "write"}
)
_PATTERN = r"[A-Za-z0-9:_.*?^@#/|{}\[\]-]{1,128}"
_KEYS = re.compile(r"(~|%(R|W|RW)~)" + _PATTERN)
_CHANNELS = re.compile("&" + _PATTERN)
_COMMAND = re.compile(r"[+-][a-z][a-z0-9_.-]{0,31}(\|[a-z0-9_-]{1,32})?")
_CATEGORY = re.compile(r"[+-]@([a-z]{1,16})")
_WORDS = ("allkeys", "resetkeys", "allchannels", "resetchannels", "allcommands", "nocommands")
LONGEST, MOST = 1024, 64

_HASH = re.compile(r"#[0-9a-f]{64}")
_LINE = re.compile(r"user (\S+) on sanitize-payload (#[0-9a-f]{64}) \S.*")


def rules(value):
    """Rules of Valkey's ACL about keys, channels and commands, in one line; none about passwords or the user itself."""
    if not isinstance(value, str) or len(value) > LONGEST:
        raise ValueError("must be text of at most %d characters" % LONGEST)
    words = value.split(" ") if value else []
    if len(words) > MOST:
        raise ValueError("must be at most %d rules" % MOST)
    for word in words:
        _rule(word)
    return value


def _rule(word):
    category = _CATEGORY.fullmatch(word)
    if category:
        if category.group(1) == "admin" and word[0] == "+":
            raise ValueError("+@admin: administration is the platform's")
        if category.group(1) not in CATEGORIES | {"admin"}:
            raise ValueError("%s: there is no such category" % word)
    elif not (word in _WORDS or _KEYS.fullmatch(word) or _CHANNELS.fullmatch(word) or _COMMAND.fullmatch(word)):
        raise ValueError(
            "%s: is not a rule about keys (~app:*), channels (&news:*) or commands (+get -@write)" % printable(word)
        )


def printable(text):
    """Return a piece of refused text that is fit for a message."""
    return ascii(text[:40])


def granted(access, own, available=False):
    """Return the rules of a user: those of its preset, or its own ones where the access is custom.

    available: whether the instance is highly available.
    """
    rules_ = "%s %s" % (PRESETS.get(access) or own or "-@all", DENIED)
    if not (available and any(map(_hears_hello, rules_.split(" ")))):
        return rules_
    # A selector could give a customer's own rules more than they have.
    return "%s %s" % (rules_, _SPEAKS if access in PRESETS else "-publish")


def _hears_hello(word):
    """Tell whether a rule may let somebody into HELLO; rather yes than no, as what follows a wildcard is not read."""
    if word[:1] != "&":
        return word == "allchannels"
    start = re.match(r"[^*?\[\\]*", word[1:]).group(0)
    return HELLO.startswith(start) if start != word[1:] else start == HELLO


def line(name, sha256, access, own, available=False):
    """Return a user's line of the ACL file."""
    return "user %s on sanitize-payload #%s %s" % (name, sha256, granted(access, own, available))


def render(admin_sha256, lines, more=()):
    """Return an ACL file; lines: {name: line}. Nobody is anybody before he has said his password."""
    own = ["user default off resetpass resetkeys resetchannels -@all"]
    own.append("user %s on sanitize-payload #%s ~* &* +@all" % (ADMIN, admin_sha256))
    own += more
    return "".join(text + "\n" for text in own + [lines[name] for name in sorted(lines)])


def parse(text, instance):
    """Return the lines of an instance's users in its ACL file, {name: line}; what is none of ours is left out."""
    found = {}
    for text_ in (text or "").splitlines():
        match = _LINE.fullmatch(text_)
        if match and match.group(1).startswith(instance + "_"):
            try:
                found[grammar.valkey_user(match.group(1))] = text_
            except ValueError:
                continue
    return found


def hash_of(text):
    """Return the ``#hash`` of a user's line, or None."""
    match = _HASH.search(text or "")
    return match.group(0) if match else None


def passwords(text):
    """Return {name: sorted hashes} of the users that are on, from an ACL file or the answers of ``ACL LIST``."""
    found = {}
    for row in text.splitlines():
        words = row.split(" ")
        if len(words) > 2 and words[0] == "user" and "on" in words[2:]:
            found[words[1]] = sorted(word for word in words[2:] if _HASH.fullmatch(word))
    return found


def without_secrets(text):
    """Return a line or file with the hashes left out."""
    return _HASH.sub("#(hidden)", text or "")
