"""The canonical form: what is stored comes back the same, from both databases and from the export."""

from __future__ import annotations

import json
import uuid

import hypothesis
import pytest
from hypothesis import strategies as st

from api.core import audit
from auditchain import Signer, canonical, plain, verify
from auditchain.record import is_signed, key_id

from .tamper import export


def objects(values):
    return st.dictionaries(st.text(st.characters(exclude_categories=()), max_size=8), values, max_size=4)


#: Whatever Python would write as JSON, and more.
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=()))
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | objects(inner), max_leaves=12)


@hypothesis.given(VALUES)
def test_plain_is_stable(value):
    once = plain(value)
    assert canonical(plain(once)) == canonical(once)
    assert canonical(json.loads(canonical(once))) == canonical(once)


@hypothesis.given(
    st.integers(-(2**53) + 1, 2**53 - 1) | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
)
def test_plain_keeps_what_it_can(value):
    assert plain({"a": [value]}) == {"a": [value]}


def test_plain():
    assert plain({"a": 1.0, "b": -0.0, "c": 1e20, "d": 2**70, "e": "a\0\ud800", "f": (1, 2.5)}) == {
        "a": 1, "b": 0, "c": "1e+20", "d": "1180591620717411303424", "e": "a\ufffd\ufffd", "f": [1, 2.5],
    }  # fmt: skip
    assert [plain(float(name)) for name in ("nan", "inf", "-inf")] == ["nan", "inf", "-inf"]
    for wrong in ({1: 2}, {"a": object()}, b"a"):
        with pytest.raises(TypeError):
            plain(wrong)


def test_canonical():
    """Fixed for ever: a change would break every chain."""
    value = {"ß": "é\u2028\U0001f600", "b": [1, -0.5, 1e-7, True, None], "a": {"y": '"\\\n\x7f/', "x": ""}, "B": {}}
    form = '{"B":{},"a":{"x":"","y":"\\"\\\\\\n\x7f/"},"b":[1,-0.5,1e-07,true,null],"ß":"é\u2028\U0001f600"}'
    assert canonical(value) == form.encode()


def test_keys():
    """Fixed as well: derived keys are not stored anywhere."""
    signer, other = Signer(b"\1" * 32), Signer(b"\2" * 32)
    assert key_id(signer.public_key) == signer.id == str(uuid.UUID(signer.id))
    assert Signer(b"\1" * 32).id == signer.id != other.id
    signature = signer.sign("record", "ab")
    assert is_signed(signer.public_key, "record", "ab", signature)
    for wrong in (
        (other.public_key, "record", "ab", signature), (signer.public_key, "checkpoint", "ab", signature),
        (signer.public_key, "record", "ac", signature), (signer.public_key, "record", "ab", signature[:-4]),
        (signer.public_key, "record", "ab", None), ("", "record", "ab", signature), ("ö", "record", "ab", signature),
    ):  # fmt: skip
        assert not is_signed(*wrong)


@hypothesis.settings(
    max_examples=30, deadline=None, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture]
)
@hypothesis.given(values=st.lists(objects(VALUES), min_size=1, max_size=5))
def test_what_is_stored_comes_back(world, values):
    with world.session() as session, session.begin():
        rows = [
            audit.record(
                session, actor="worker", action="run", kind="shard", resource_id=uuid.uuid4(), before=value,
                after=None, result="successful", duration_ms=0, job_ids=(uuid.uuid4(),),
            )
            for value in values
        ]  # fmt: skip
    lines = export(world)
    verify(lines)
    found = {line["id"]: line for line in map(json.loads, lines) if line["type"] == "record"}
    assert [canonical(found[str(row.id)]["before"]) for row in rows] == [canonical(plain(value)) for value in values]
