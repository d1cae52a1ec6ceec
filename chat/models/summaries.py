"""What the messages of a conversation sum up to, in its own row, so that lists need not read them."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models import F, Value
from django.db.models.functions import StrIndex
from django.db.models.lookups import GreaterThan
from django.utils.translation import gettext_lazy as _

# What is added up of a reply.
COUNTED = ("status", "model", "error_code", "feedback", "usage")
# How a reply can end, the worst first.
WORST_FIRST = ("failed", "interrupted", "stopped", "complete")
# Every value of `statuses` but the empty one: the binary digits of a number say which there are.
SETS_OF_STATUSES = [
    " ".join(status for bit, status in enumerate(WORST_FIRST) if number >> bit & 1)
    for number in range(1, 1 << len(WORST_FIRST))
]


class Summary(models.Model):
    """Counts all messages, and adds up the replies that have ended.

    Whoever changes one of those locks the conversation first, and stores both in one transaction.
    """

    message_count = models.PositiveIntegerField(_("messages"), default=0, db_default=0, editable=False)
    # Read and written for the replies as they are now, as far as the endpoint has told. The ledger has all.
    tokens = models.PositiveBigIntegerField(_("tokens"), default=0, db_default=0, editable=False)
    # How its replies have ended, separated by spaces, the worst first.
    statuses = models.CharField(max_length=40, default="", db_default="", blank=True, editable=False)
    # One a line, in order, with a line break before each and after the last.
    models_used = models.TextField(default="", db_default="", blank=True, editable=False)
    errors = models.TextField(default="", db_default="", blank=True, editable=False)
    good = models.PositiveIntegerField(_("good answers"), default=0, db_default=0, editable=False)
    bad = models.PositiveIntegerField(_("bad answers"), default=0, db_default=0, editable=False)

    SUMMED = ("message_count", "tokens", "statuses", "models_used", "errors", "good", "bad")

    class Meta:
        abstract = True

    def add_up(self) -> None:
        """Set the summary to that of the messages in the database, without saving it."""
        self.message_count = self.tokens = self.good = self.bad = 0
        self.statuses = self.models_used = self.errors = ""
        messages = self.messages.values_list(*(f"reply__{field}" for field in COUNTED))  # type: ignore[attr-defined]
        for status, *rest in messages:
            self.message_count += 1
            if status in WORST_FIRST:
                self.add(status, *rest)

    def add(self, status: str, model: str, error_code: str, feedback: str, usage: dict[str, Any] | None) -> None:
        """Add a reply that has ended, without saving it."""
        ended = {*self.statuses.split(), status}
        self.statuses = " ".join(known for known in WORST_FIRST if known in ended)
        self.models_used = _with(self.models_used, model)
        self.errors = _with(self.errors, error_code)
        self.tokens += _tokens(usage)
        self.good += feedback == "good"
        self.bad += feedback == "bad"

    @property
    def worst_status(self) -> str:
        """How its replies have ended at worst; empty while none has."""
        return self.statuses.partition(" ")[0]


def ending(status: str) -> list[str]:
    """The values of `statuses` of the conversations in which a reply has ended like this."""
    return [statuses for statuses in SETS_OF_STATUSES if status in statuses.split()]


def has_line(field: str, line: str) -> GreaterThan:
    """Whether `models_used` or `errors` has this one, as a condition of a filter."""
    return GreaterThan(StrIndex(F(field), Value(f"\n{line}\n")), 0)


def _with(lines: str, line: str) -> str:
    every = sorted({*lines.split("\n"), line} - {""})
    return "".join(["\n", *(f"{known}\n" for known in every)]) if every else ""


def _tokens(usage: dict[str, Any] | None) -> int:
    counts = (usage or {}).get("prompt_tokens"), (usage or {}).get("completion_tokens")
    return sum(count for count in counts if isinstance(count, int))
