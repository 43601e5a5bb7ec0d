"""Users of Valkey: which rules may be written, and what becomes of them."""

import pytest
from ansible_collections.hostreeve.hosting.plugins.module_utils import grammar
from ansible_collections.hostreeve.hosting.plugins.module_utils.valkey import acl
from hypothesis import given
from hypothesis import strategies as st

HASH, OTHER = "a" * 64, "b" * 64
NAME = "kv_abcdefghij_app"


@pytest.mark.parametrize(
    "rules",
    ["", "~app:*", "%R~x:* %W~y:* %RW~z", "&news:*", "+get -set +@read -@write", "+client|setname", "allkeys -@all",
     "~{tag}:[a-z]?", "+@all -@admin", "resetkeys resetchannels nocommands allcommands allchannels"],
)  # fmt: skip
def test_rules(rules):
    assert acl.rules(rules) == rules


@pytest.mark.parametrize(
    "rules",
    ["on", "off", "reset", "nopass", "resetpass", ">secret", "<secret", "#" + HASH, "!" + HASH, "sanitize-payload",
     "skip-sanitize-payload", "clearselectors", "(~* +@all)", "+@admin", "+@nosuch", "+get nopass", "+get  +set", " ",
     "+get ", "\n", "+get\n", "+get\nuser evil on nopass", "~a b", "~", "~ä", "%X~a", "~\"a\"", "+", "+GET", "+get|",
     "+get|a|b", "~" + "a" * 129, "+get " * 300, "+a " * 64 + "+b", "{{ 1 }}", "\0", None, 1, ["+get"]],
)  # fmt: skip
def test_other_rules_are_refused(rules):
    with pytest.raises(ValueError):
        acl.rules(rules)


@given(st.text(st.characters(codec="utf-8"), max_size=60))
def test_rules_that_pass_stay_one_line_of_plain_words(text):
    try:
        acl.rules(text)
    except ValueError:
        return
    line = acl.line(NAME, HASH, "custom", text)
    assert line.isascii() and line.isprintable() and '"' not in line and "(" not in line
    assert [word for word in line.split(" ") if word.startswith("#")] == ["#" + HASH]
    assert line.split(" ")[2:5] == ["on", "sanitize-payload", "#" + HASH]
    assert line.endswith(" " + acl.DENIED)


@pytest.mark.parametrize("access", acl.ACCESSES)
def test_every_access_ends_with_what_is_denied(access):
    assert acl.line(NAME, HASH, access, "+get").endswith(" " + acl.DENIED)


HEARD = ["&*", "allchannels", "&_*", "&__sentinel__:hello", "&__sentinel__:h?llo", "&[_]*", "&__sentinel__:hello*"]


@pytest.mark.parametrize("rule", HEARD)
def test_who_hears_the_sentinels_says_nothing_there(rule):
    own = "+@all %s -get" % rule
    assert acl.granted("custom", own, True) == "%s %s -publish" % (own, acl.DENIED)
    assert acl.granted("custom", own) == "%s %s" % (own, acl.DENIED)


@pytest.mark.parametrize("rule", ["&news:*", "&__sentinel__", "&__sentinel__:hello2", "&_a*", "~*", "resetchannels"])
def test_who_does_not_may_publish(rule):
    assert "publish" not in acl.granted("custom", "+@all " + rule, True)


def test_presets_that_hear_every_channel_speak_in_all_but_the_platforms():
    for access in acl.PRESETS:
        more = acl.granted(access, "", True).removeprefix(acl.granted(access, ""))
        expected = " -publish (+publish &[^_]* &_[^_]* &_)" if access in ("all", "pubsub") else ""
        assert more == expected


@pytest.mark.parametrize("available", [False, True])
def test_a_file_is_read_back(available):
    lines = {name: acl.line(name, HASH, "all", "", available) for name in (NAME, "kv_abcdefghij_ro")}
    text = acl.render(OTHER, lines)
    assert acl.parse(text, "kv_abcdefghij") == lines
    assert text.startswith("user default off ")
    assert acl.passwords(text) == {"hostreeve": ["#" + OTHER], **{name: ["#" + HASH] for name in lines}}


@pytest.mark.parametrize(
    "line",
    ["", "# comment", "user evil on nopass ~* +@all", "user kv_bbbbbbbbbb_app on sanitize-payload #%s ~*" % HASH,
     "user kv_abcdefghij_app on nopass ~*", "user kv_abcdefghij_A on sanitize-payload #%s ~*" % HASH],
)  # fmt: skip
def test_lines_of_others_are_not_read(line):
    assert acl.parse(line, "kv_abcdefghij") == {}


def test_nobody_reads_a_hash():
    line = acl.line(NAME, HASH, "all", "")
    assert HASH not in acl.without_secrets(line) and acl.hash_of(line) == "#" + HASH
    assert acl.without_secrets(None) == ""


@pytest.mark.parametrize("name", ["kv_abcdefghij_a", NAME, "kv_abcdefghij_a-b_c", "kv_0123456789_" + "a" * 32])
def test_user_names(name):
    assert grammar.valkey_user(name) == name


@pytest.mark.parametrize(
    "name",
    ["", "default", "hostreeve", "kv_abcdefghij", "kv_abcdefghij_", "kv_abcdefghij-a", "kv_abcdefghij_A",
     "kv_abcdefghij_a\n", "kv_abcdefghij_-a", "kv_abcdefghij_a b", "kv_abcdefghijk_a", "kv_0123456789_" + "a" * 33],
)  # fmt: skip
def test_other_user_names_are_refused(name):
    with pytest.raises(ValueError):
        grammar.valkey_user(name)
