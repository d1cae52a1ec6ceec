"""The chain: each record has a MAC of its content, its number and the MAC before it. Nothing here uses the database."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Self

from django.utils.crypto import constant_time_compare

from chat.audit.keys import Key
from chat.models import AuditHead, AuditRecord

# A record with a wrong MAC may have had another number. So many below and above its own are tried.
NEARBY = 100


def seal(record: AuditRecord, head: AuditHead, key: Key) -> None:
    """Put the record at the end of the chain, and move the end there."""
    record.number, record.before, record.key = head.number + 1, head.mac, key.id
    record.mac = key.mac(canonical(record))
    head.number, head.mac = record.number, record.mac


def canonical(record: AuditRecord, number: int | None = None) -> str:
    """What the MAC of a record covers, as if it had this number; its own by default.

    Empty fields are left out, so that a field that is added later changes no old record.
    """
    fields = {field.attname: getattr(record, field.attname) for field in record._meta.concrete_fields}
    fields |= {"number": record.number if number is None else number, "mac": None}
    return _json({name: value for name, value in fields.items() if value not in ("", None)})


def _json(values: Mapping[str, Any]) -> str:
    return json.dumps(values, default=_plain, sort_keys=True, separators=(",", ":"))


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    return str(value)


class Fault(StrEnum):
    CHANGED = "changed"
    INSERTED = "inserted"
    REMOVED = "removed"
    MOVED = "moved"
    DETACHED = "detached"
    UNKNOWN_KEY = "unknown key"
    REWRITTEN = "rewritten"
    HEAD = "head"


SENTENCES = {
    Fault.CHANGED: "{records} changed after being written.",
    Fault.INSERTED: "{records} inserted by somebody without the key.",
    Fault.REMOVED: "{records} removed.",
    Fault.MOVED: "{records} moved here from number {was}.",
    Fault.DETACHED: "{records} written after another record than the one before.",
    Fault.UNKNOWN_KEY: "{records} written with the key {key}, which is not among the settings.",
    Fault.REWRITTEN: "{records} another one when the checkpoint was made.",
    Fault.HEAD: "The end of the chain, record {first}, is not what the database has noted as its end.",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with the records from `first` to `last`; `was` is the number that the first one had."""

    fault: Fault
    first: int
    last: int
    was: int = 0
    key: str = ""

    def __str__(self) -> str:
        one = self.first == self.last
        records = f"Record {self.first} was" if one else f"Records {self.first} to {self.last} were"
        return SENTENCES[self.fault].format(records=records, first=self.first, was=self.was, key=self.key)

    def continues(self, other: Self) -> bool:
        """Whether it is the same problem with the next record."""
        is_next = self.first == other.last + 1
        has_same_shift = not self.was or self.was - self.first == other.was - other.first
        return is_next and has_same_shift and (self.fault, self.key) == (other.fault, other.key)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The end of the chain at some time, signed, to be kept where nobody who can change the database can change it."""

    number: int
    mac: str
    time: str
    key: str
    signature: str = ""

    @classmethod
    def of(cls, head: AuditHead, time: datetime, key: Key) -> Self:
        unsigned = cls(head.number, head.mac, _plain(time), key.id)
        return replace(unsigned, signature=unsigned._signed(key))

    @classmethod
    def load(cls, line: str, keys: Mapping[str, Key]) -> Self:
        """Raises ValueError for what is no checkpoint, or has not been signed by one of the keys."""
        try:
            checkpoint = cls(**json.loads(line))
            key = keys[checkpoint.key]
        except (TypeError, KeyError, ValueError):
            raise ValueError("This is no checkpoint, or its key is not among the settings.") from None
        if not constant_time_compare(checkpoint.signature, checkpoint._signed(key)):
            raise ValueError("The signature of the checkpoint is wrong.")
        return checkpoint

    def dump(self) -> str:
        return _json({name: getattr(self, name) for name in self.__slots__})

    def _signed(self, key: Key) -> str:
        return key.mac(f"checkpoint {replace(self, signature='').dump()}")


class Verifier:
    """Walks along the chain once, with the same little memory however long it is."""

    def __init__(self, keys: Mapping[str, Key], checkpoints: Iterable[Checkpoint] = ()) -> None:
        self.count = 0
        # The first and the last record of each key.
        self.used: dict[str, tuple[int, int]] = {}
        self._keys = keys
        self._checkpoints = {checkpoint.number: checkpoint for checkpoint in checkpoints}

    def problems(self, records: Iterable[AuditRecord], head: AuditHead | None) -> Iterator[Problem]:
        """What is wrong, in the order of the numbers; runs of the same problem are one."""
        pending: Problem | None = None
        for problem in self._each(records, head):
            if pending and problem.continues(pending):
                pending = replace(pending, last=problem.last)
                continue
            if pending:
                yield pending
            pending = problem
        if pending:
            yield pending

    def _each(self, records: Iterable[AuditRecord], head: AuditHead | None) -> Iterator[Problem]:
        number, end = 0, ""
        # The record before, while only the next one can tell whether it was changed or inserted.
        suspect: AuditRecord | None = None
        follows = True
        for record in records:
            has_gap = record.number != number + 1
            if suspect:
                yield _judged(suspect, record.before == end)
            if has_gap:
                yield Problem(Fault.REMOVED, number + 1, record.number - 1)
            problem = self._problem(record)
            suspect = record if problem and problem.fault is Fault.CHANGED else None
            if problem and not suspect:
                yield problem
            if not problem and follows and not has_gap and record.before != end:
                yield Problem(Fault.DETACHED, record.number, record.number)
            if (known := self._checkpoints.get(record.number)) and known.mac != record.mac:
                yield Problem(Fault.REWRITTEN, record.number, record.number)
            self._note(record)
            number, end, follows = record.number, end if suspect else record.mac, not problem
        if suspect:
            yield _judged(suspect, head is not None and head.mac == end)
        yield from self._at_the_end(number, end, head, is_sure=follows)

    def _problem(self, record: AuditRecord) -> Problem | None:
        """What is wrong with the record by itself: CHANGED also for one that was inserted."""
        key = self._keys.get(record.key)
        if key is None:
            return Problem(Fault.UNKNOWN_KEY, record.number, record.number, key=record.key)
        if _has(record, record.number, key):
            return None
        for distance in range(1, NEARBY + 1):
            for number in (record.number - distance, record.number + distance):
                if _has(record, number, key):
                    return Problem(Fault.MOVED, record.number, record.number, was=number)
        return Problem(Fault.CHANGED, record.number, record.number)

    def _at_the_end(self, number: int, end: str, head: AuditHead | None, *, is_sure: bool) -> Iterator[Problem]:
        last = max([head.number if head else 0, *self._checkpoints])
        if last > number:
            yield Problem(Fault.REMOVED, number + 1, last)
        elif head is None or head.number != number or (is_sure and head.mac != end):
            yield Problem(Fault.HEAD, number, number)

    def _note(self, record: AuditRecord) -> None:
        self.count += 1
        first, _ = self.used.get(record.key, (record.number, 0))
        self.used[record.key] = (first, record.number)


def _has(record: AuditRecord, number: int, key: Key) -> bool:
    return constant_time_compare(record.mac, key.mac(canonical(record, number)))


def _judged(suspect: AuditRecord, is_passed_over: bool) -> Problem:
    """A record with a wrong MAC: the next one follows it, or what came before it."""
    return Problem(Fault.INSERTED if is_passed_over else Fault.CHANGED, suspect.number, suspect.number)
