"""Verification of an export, line by line, in bounded memory.

An export is a sequence of JSON objects, told apart by ``type``:

    export       {"format": 1, "complete": bool, "at", "filters"}      first; ``complete`` means: the whole chain
    key          {"key_id", "public_key", "introduced_by", "at", "signature"}    introduced_by null: trusted by itself
    checkpoint   {"seq", "hash", "count", "at", "key_id", "signature"}           in place of what was pruned
    record       the content, with "hash" and "signature"; "seq" null for those from before the chain
    head         {"seq", "hash"}                                       last: where the platform says that the chain ends
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from auditchain.record import PROOF, ZERO, digest_of, fold, is_signed, key_id

FORMAT = 1


class Broken(Exception):
    """The chain does not hold. ``seq`` is the first record that is not what it should be, None if it is not one."""

    def __init__(self, seq: int | None, reason: str) -> None:
        super().__init__(reason if seq is None else f"record {seq}: {reason}")
        self.seq, self.reason = seq, reason


@dataclass
class Verdict:
    """What was verified."""

    #: all records of the platform, or a part in which each record is verified for itself
    complete: bool = True
    #: sealed records that were verified, the first of them, and the last
    records: int = 0
    first: int | None = None
    seq: int = 0
    hash: str = ZERO
    #: records from before the chain's beginning; their sum is in the chain's first record
    unsealed: int = 0
    #: the last record that was pruned, and how many were in all
    pruned_seq: int = 0
    pruned: int = 0
    #: heads that could not be compared, because the records up to there were pruned
    unchecked: list[int] = field(default_factory=list)
    #: the key that all others were introduced by
    root: str = ""
    keys: list[str] = field(default_factory=list)


def verify(
    lines: Iterable[str | bytes], *, heads: Mapping[int, str] | None = None, trusted: Collection[str] = ()
) -> Verdict:
    """Verify an export; raises Broken at the first thing that is wrong.

    ``heads``: seq → hash of records that are known from elsewhere: what was verified before, or what a host carries.
    ``trusted``: ids of keys that may stand for themselves; without any, the first key of the export is trusted.
    """
    return _Verifier(dict(heads or {}), set(trusted)).run(_objects(lines))


def _objects(lines: Iterable[str | bytes]) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            raise Broken(None, f"line {number} is not JSON: the export is damaged, or ended early") from None
        if not isinstance(found, dict):
            raise Broken(None, f"line {number} is not an object")
        yield found


class _Verifier:
    def __init__(self, heads: dict[int, str], trusted: set[str]) -> None:
        self._heads, self._trusted = heads, trusted
        self._verdict = Verdict()
        #: key id → public key, of those that may be believed
        self._keys: dict[str, str] = {}
        self._fold = ZERO
        self._ended = False

    def run(self, objects: Iterator[dict[str, Any]]) -> Verdict:
        first = next(objects, {})
        if first.get("type") != "export" or first.get("format") != FORMAT:
            raise Broken(None, "this is no export of an audit")
        self._verdict.complete = first.get("complete") is True
        take = {"key": self._key, "checkpoint": self._checkpoint, "record": self._record, "head": self._head}
        for found in objects:
            kind = found.pop("type", None)
            if self._ended or kind not in take:
                raise Broken(None, f"a line of the type {kind!r} does not belong here")
            try:
                take[kind](found)
            except (KeyError, TypeError, ValueError) as error:
                raise Broken(_seq(found), f"a {kind} that is not well-formed ({type(error).__name__})") from None
        if not self._ended:
            raise Broken(None, f"the export ends early, after record {self._verdict.seq}")
        self._verdict.keys = sorted(self._keys)
        return self._verdict

    def _key(self, entry: dict[str, Any]) -> None:
        signature, id_, by = entry.pop("signature"), entry["key_id"], entry["introduced_by"]
        if key_id(entry["public_key"]) != id_:
            raise Broken(None, f"the key {id_} is not what its id says")
        if by is None:
            if self._trusted and id_ not in self._trusted:
                raise Broken(None, f"the key {id_} stands for itself and is not one that is trusted")
            if self._verdict.root and not self._trusted:
                raise Broken(None, f"the key {id_} was not introduced by the key before it; trust it by name or not")
            self._verdict.root = self._verdict.root or id_
        voucher = entry["public_key"] if by is None else self._keys.get(by, "")
        if not is_signed(voucher, "key", digest_of(entry), signature):
            raise Broken(None, f"the key {id_} was not introduced by a key of the platform")
        self._keys[id_] = entry["public_key"]

    def _checkpoint(self, entry: dict[str, Any]) -> None:
        verdict = self._verdict
        if verdict.records or verdict.unsealed or verdict.pruned_seq:
            raise Broken(entry["seq"], "a checkpoint in the middle")
        signature = entry.pop("signature")
        if not is_signed(self._keys.get(entry["key_id"], ""), "checkpoint", digest_of(entry), signature):
            raise Broken(entry["seq"], "the checkpoint is not signed by a key of the platform")
        verdict.pruned_seq, verdict.pruned = entry["seq"], entry["count"]
        verdict.seq, verdict.hash = entry["seq"], entry["hash"]
        verdict.unchecked = sorted(seq for seq in self._heads if 0 < seq < entry["seq"])
        self._compare(entry["seq"], entry["hash"])

    def _record(self, entry: dict[str, Any]) -> None:
        verdict, seq = self._verdict, entry["seq"]
        if seq is None:
            self._unsealed(entry)
            return
        proof = {name: entry.pop(name) for name in PROOF}
        if type(seq) is not int:
            raise TypeError
        if digest_of(entry) != proof["hash"]:
            raise Broken(seq, "its content is not what was sealed")
        if not is_signed(self._keys.get(entry["key_id"], ""), "record", proof["hash"], proof["signature"]):
            raise Broken(seq, "its signature is not that of a key of the platform")
        if verdict.records and seq <= verdict.seq:
            raise Broken(seq, f"it comes after record {verdict.seq}: twice, or out of order")
        if verdict.complete:
            self._follow(seq, entry)
        self._compare(seq, proof["hash"])
        verdict.records += 1
        verdict.first = verdict.first or seq
        verdict.seq, verdict.hash = seq, proof["hash"]

    def _follow(self, seq: int, entry: dict[str, Any]) -> None:
        """Hold a record against the one before it."""
        verdict = self._verdict
        if seq != verdict.seq + 1:
            missing = f"{verdict.seq + 1}" if seq == verdict.seq + 2 else f"{verdict.seq + 1} to {seq - 1}"
            raise Broken(verdict.seq + 1, f"missing: {missing}" if seq > verdict.seq else f"{seq} comes in its place")
        if entry["prev_hash"] != verdict.hash:
            raise Broken(seq, "it does not follow on the record before it")
        if seq == 1 and (entry["after"]["unsealed"], entry["after"]["unsealed_hash"]) != (verdict.unsealed, self._fold):
            raise Broken(1, "the records from before the chain are not those that its first record sums up")

    def _unsealed(self, entry: dict[str, Any]) -> None:
        verdict = self._verdict
        if verdict.complete and (verdict.records or verdict.pruned_seq):
            raise Broken(None, f"the record {entry['id']} was never sealed: it was inserted by somebody else")
        self._fold = fold(self._fold, {name: value for name, value in entry.items() if name != "seq"})
        verdict.unsealed += 1

    def _head(self, entry: dict[str, Any]) -> None:
        verdict, seq = self._verdict, entry["seq"]
        self._ended = True
        if not verdict.complete:
            return
        late = sorted(known for known in self._heads if known > verdict.seq)
        if late:
            raise Broken(verdict.seq + 1, f"missing: the chain ends at {verdict.seq}, and {late[-1]} was seen before")
        if seq != verdict.seq:
            raise Broken(min(seq, verdict.seq) + 1, f"the chain ends at {verdict.seq}, and the platform says {seq}")
        if entry["hash"] != verdict.hash:
            raise Broken(seq or None, "the head that the platform names has another hash")

    def _compare(self, seq: int, hash_: str) -> None:
        if self._heads.get(seq, hash_) != hash_:
            raise Broken(seq, "it is not the one that was seen before: the chain was written anew")


def _seq(entry: dict[str, Any]) -> int | None:
    return entry["seq"] if type(entry.get("seq")) is int else None
