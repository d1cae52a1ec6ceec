"""What to do with a reply that has just been claimed: a pure function."""

from dataclasses import dataclass

from chat.events import Error, Snapshot

INTERRUPTED = Error("interrupted")
LOST = Error("lost")


@dataclass(frozen=True, slots=True)
class Begin:
    """Ask the model for the whole answer."""


@dataclass(frozen=True, slots=True)
class Continue:
    """Ask the model for what follows `so_far`, which readers have seen and the log holds."""

    so_far: Snapshot


@dataclass(frozen=True, slots=True)
class Resume:
    """Put `kept` into the log instead of all that it holds, then ask the model for what follows."""

    kept: Snapshot


@dataclass(frozen=True, slots=True)
class Interrupt:
    """End the reply with what the log has of it."""

    error: Error


@dataclass(frozen=True, slots=True)
class Restore:
    """Put `kept` into the log instead of what is lost of it, and end the reply with that."""

    kept: Snapshot
    error: Error


type Plan = Begin | Continue | Resume | Interrupt | Restore


def plan(kept: Snapshot, so_far: Snapshot, *, shown: bool, more_shown: bool, can_continue: bool) -> Plan:
    """Decide by what the row and the log hold.

    `kept` is what the row has of an earlier end: its text, reasoning and last seq. `so_far` is what the log has, empty
    for a log that is gone. `shown` says whether readers have seen any of the reply, `more_shown` whether they have seen
    more than `kept` since a person asked to continue it, `can_continue` whether the model can be given the beginning
    of its answer.
    """
    if kept.text and so_far.seq <= kept.seq:
        # Asked to continue after its end. Other text instead of what was shown since would contradict it.
        return Restore(kept, LOST) if more_shown else Resume(kept)
    if so_far.seq:
        # Reasoning alone is no beginning of an answer, and asking again would contradict what readers have seen.
        return Continue(so_far) if so_far.text and can_continue else Interrupt(INTERRUPTED)
    return Interrupt(LOST) if shown else Begin()
