"""The ledger: what was asked of which model, by whom, and what it used."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from chat.models.ids import uuid7

if TYPE_CHECKING:
    from chat.models.users import User


class LedgerQuerySet(models.QuerySet["LedgerEntry"]):
    def asked_since(self, person: User, moment: datetime) -> LedgerQuerySet:
        """What they asked themselves. What Parley asks for them is no question of theirs."""
        return self.filter(person=person, asked__gt=moment, purpose=LedgerEntry.Purpose.REPLY)


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

    class Meta:
        verbose_name_plural = "ledger entries"
        indexes = [models.Index(fields=["person", "-asked"], name="ledger_person")]

    def __str__(self) -> str:
        return f"{self.model} at {self.asked:%Y-%m-%d %H:%M:%S}"

    @staticmethod
    def tokens(usage: dict[str, Any] | None) -> dict[str, int | None]:
        """The two counts of an endpoint's `usage`, as fields of an entry."""
        usage = usage or {}
        return {"input_tokens": usage.get("prompt_tokens"), "output_tokens": usage.get("completion_tokens")}
