"""The ledger: what was asked of which model, by whom, and what it used."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple

from django.conf import settings
from django.db import models
from django.db.models import Count
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from chat.compiled import compiled
from chat.days import midnight
from chat.models.ids import uuid7
from chat.models.review_limits import ReviewLimit
from chat.models.users import User

COUNTED = ("asked", "person", "person__username", "model", "input_tokens", "output_tokens")


class Days(NamedTuple):
    """What people have used on some days, the newest first; there may be more of it before `begin`, if that is set."""

    sums: list[LedgerEntry]
    begin: datetime | None


class LedgerQuerySet(models.QuerySet["LedgerEntry"]):
    def asked_since(self, person: int, moment: datetime) -> LedgerQuerySet:
        """What they asked themselves. What Parley asks for them is no question of theirs."""
        return self.filter(person=person, asked__gt=moment, purpose=LedgerEntry.Purpose.REPLY)

    def count_since(self, person: int, moment: datetime) -> int:
        """How many of these there are."""
        return sum(count for (count,) in _count_since(person, moment))

    def for_reviewer(self, user: User) -> LedgerQuerySet:
        """What they may see in the administration: who asked how much, as of conversations."""
        if not user.has_perm("chat.view_conversation"):
            return self.none()
        is_limited = ReviewLimit.of(user) is not None
        return self.filter(person__in=ReviewLimit.people_of(user)) if is_limited else self

    def newest_days(self, most: int) -> Days:
        """The sums of the newest days that have at most so many requests together, or else of the newest one.

        The database finds the entries by an index. It would read far more of them to add them up itself.
        """
        rows = self.order_by("-asked").values_list(*COUNTED)
        some = list(rows[: most + 1])
        if len(some) <= most:
            return Days(_sums(some), None)
        day = timezone.localdate(some[-1][0])
        begin = midnight(day + timedelta(days=1))
        if some[0][0] < begin:
            begin = midnight(day)
            return Days(_sums(rows.filter(asked__gte=begin).iterator()), begin)
        return Days(_sums(row for row in some if row[0] >= begin), begin)


class LedgerEntry(models.Model):
    """One request to a model. It outlives the reply, its conversation and its person, so that totals stay true."""

    class Purpose(models.TextChoices):
        REPLY = "reply", _("Reply")
        TITLE = "title", _("Title of a conversation")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    person = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.DB_SET_NULL, related_name="ledger", db_index=False
    )
    purpose = models.CharField(max_length=8, choices=Purpose, default=Purpose.REPLY, db_default=Purpose.REPLY)
    # Not a foreign key: the reply may be deleted. A title is made from this one.
    reply_id = models.UUIDField(editable=False)
    model = models.CharField(max_length=200)
    asked = models.DateTimeField(default=timezone.now)
    # Asked in a temporary conversation, of which this row is all that stays, unless its person has kept it.
    temporary = models.BooleanField(default=False, db_default=False, editable=False)
    # Known when the model has answered, if the endpoint tells.
    input_tokens = models.PositiveBigIntegerField(null=True)
    output_tokens = models.PositiveBigIntegerField(null=True)

    objects = LedgerQuerySet.as_manager()

    # Of sums, which are not stored: the day, the person's name, None if the account is deleted, how many entries.
    day: date
    name: str | None
    requests: int

    class Meta:
        verbose_name_plural = "ledger entries"
        indexes = [
            models.Index(fields=["person", "-asked"], name="ledger_person"),
            models.Index(fields=["model", "-asked"], name="ledger_model"),
            models.Index(fields=["-asked"], name="ledger_asked"),
        ]

    def __str__(self) -> str:
        return f"{self.model} at {self.asked:%Y-%m-%d %H:%M:%S}"

    @staticmethod
    def tokens(usage: dict[str, Any] | None) -> dict[str, int | None]:
        """The two counts of an endpoint's `usage`, as fields of an entry."""
        usage = usage or {}
        return {"input_tokens": usage.get("prompt_tokens"), "output_tokens": usage.get("completion_tokens")}


@compiled
def _count_since(person: int, moment: datetime) -> models.QuerySet[LedgerEntry, tuple[int]]:
    asked = LedgerEntry.objects.asked_since(person, moment)
    return asked.values("person").annotate(count=Count("pk")).values_list("count")


def _sums(rows: Iterable[tuple[Any, ...]]) -> list[LedgerEntry]:
    """One for each person and model on each day, the newest day first, of what is COUNTED."""
    sums: dict[tuple[Any, ...], LedgerEntry] = {}
    for asked, person, name, model, read, written in rows:
        day = timezone.localdate(asked)
        entry = sums.get((day, person, model))
        if entry is None:
            entry = sums[day, person, model] = LedgerEntry(person_id=person, model=model)
            entry.day, entry.name, entry.requests = day, name, 0
        entry.requests += 1
        entry.input_tokens = _added(entry.input_tokens, read)
        entry.output_tokens = _added(entry.output_tokens, written)
    return sorted(sums.values(), key=lambda entry: (-entry.day.toordinal(), entry.name or "", entry.model))


def _added(tokens: int | None, more: int | None) -> int | None:
    return tokens if more is None else (tokens or 0) + more
