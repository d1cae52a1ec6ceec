"""Files of conversations that are made in the background, and stored in parts until their time is over."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from itertools import batched
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import parse_qsl
from uuid import UUID, uuid4

from django.conf import settings
from django.db import models, transaction
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from chat.models.conversations import Conversation
from chat.models.ids import uuid7
from chat.models.jobs import Job
from chat.models.review_limits import ReviewLimit

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser

    from chat.models.users import User

ID_BYTES = 16
# Ids that are compared with the database in one query.
COMPARED_AT_ONCE = 1000
# Parts that are erased in one transaction: other writes wait for it.
ERASED_AT_ONCE = 20
# Those of JSON and CSV are a quarter of their size with the fastest level, and little less with others.
COMPRESSION = 1


class Superseded(Exception):
    """The export has been cancelled, or another process has taken it over."""


def expiry() -> datetime:
    return timezone.now() + timedelta(days=settings.CHAT_EXPORT_DAYS)


class ExportQuerySet(models.QuerySet["Export"]):
    def for_user(self, user: User | AnonymousUser) -> ExportQuerySet:
        """What they have asked for themselves. Nobody else gets it, whatever their rights."""
        return self.kept().filter(person_id=user.pk)

    def kept(self) -> ExportQuerySet:
        return self.filter(expires__gt=Now())

    def cancel(self) -> int:
        """Let them be erased; what is made of them stops with its next part."""
        return self.update(expires=Now())

    def erase_some(self) -> int:
        """Erase parts of an export whose time is over, or the last of it; returns 0 when nothing is left to erase."""
        expired = self.filter(expires__lte=Now())
        parts = ExportPart.objects.filter(export__in=expired.values("pk")).values_list("pk", flat=True)
        if some := list(parts[:ERASED_AT_ONCE]):
            ExportPart.objects.filter(pk__in=some).delete()
            return len(some)
        return expired.delete()[0]


class Export(models.Model):
    """A file that somebody has asked for: of which conversations, and how much of it is stored.

    `run` is the fencing token: whoever makes the file sets it, and what an earlier run still makes is not stored.
    After a process has died, the next run continues after the last conversation that is whole in the stored parts.
    """

    class Format(models.TextChoices):
        CSV = "csv", _("CSV")
        JSON_LINES = "jsonl", _("JSON Lines")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    person = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.DB_CASCADE, related_name="exports", db_index=False
    )
    suffix = models.CharField(_("format"), max_length=8, choices=Format)
    # The filters and the words, as in the address of the list, and what is recorded of the asking.
    query = models.TextField(blank=True)
    reason = models.TextField(blank=True)
    address = models.CharField(max_length=45, blank=True)
    # What the filters showed then: the ids of conversations, 16 bytes each, in their order.
    conversations = models.BinaryField(default=b"")
    # How many messages they had.
    total = models.PositiveBigIntegerField(default=0)
    asked = models.DateTimeField(_("asked"), default=timezone.now)
    finished = models.DateTimeField(null=True)
    expires = models.DateTimeField(_("kept until"), default=expiry)
    run = models.UUIDField(null=True)
    # Of the parts up to the end of a conversation: how many there are, the conversations and messages in them, their
    # bytes.
    parts = models.PositiveIntegerField(default=0)
    whole = models.PositiveIntegerField(default=0)
    done = models.PositiveBigIntegerField(default=0)
    size = models.PositiveBigIntegerField(_("size"), default=0)

    objects = ExportQuerySet.as_manager()

    # From its job, for pages: "queued", "running", "ready" or "failed".
    state: ClassVar[str] = ""

    class Meta:
        default_permissions = ()
        indexes = [
            models.Index(fields=["person", "-asked"], name="export_person"),
            models.Index(fields=["expires"], name="export_expires"),
        ]

    def __str__(self) -> str:
        return f"export {self.pk}"

    @property
    def detail(self) -> str:
        """What the audit record says of it."""
        asked = " ".join(f"{name}={value}" for name, value in parse_qsl(self.query))
        return f"conversations, {self.suffix}: {asked}"

    @property
    def percent(self) -> int:
        """How much of it is made; 100 only when it is finished, as conversations grow meanwhile."""
        return 100 if self.finished else min(99, self.done * 100 // max(self.total, 1))

    def ask(self, rows: Iterable[tuple[UUID, int]]) -> None:
        """Store the wish for a file of these conversations, given with the numbers of their messages."""
        ids = bytearray()
        for pk, count in rows:
            ids += pk.bytes
            self.total += count
        self.conversations = bytes(ids)
        with transaction.atomic():
            self.save(force_insert=True)
            Job.objects.add(Job.Kind.EXPORT, self.pk)

    @property
    def count(self) -> int:
        return len(self.conversations) // ID_BYTES

    def ids(self, start: int = 0) -> Iterator[UUID]:
        """Those of its conversations, from this one on."""
        for first in range(start * ID_BYTES, len(self.conversations), ID_BYTES):
            yield UUID(bytes=bytes(self.conversations[first : first + ID_BYTES]))

    def may_be_fetched_by(self, reader: User) -> bool:
        """Whether they still see each conversation that can be in it."""
        if not reader.has_perms(["chat.view_conversation", "chat.read_conversation"]):
            return False
        if ReviewLimit.of(reader) is None:
            return True
        seen = Conversation.objects.for_reviewer(reader)
        # Whose those were that are gone by now, nobody can tell.
        return all(seen.filter(pk__in=some).count() == len(some) for some in batched(self.ids(), COMPARED_AT_ONCE))

    # Making it

    def begin(self) -> bool:
        """Start a run after what is whole; False if there is nothing to be made any longer."""
        run = uuid4()
        with transaction.atomic():
            unfinished = Export.objects.kept().filter(pk=self.pk, finished=None)
            if not unfinished.update(run=run):
                return False
            self.refresh_from_db()
            self.stored.filter(number__gte=self.parts).delete()
        return True

    def store(self, number: int, content: bytes, **fields: object) -> None:
        """Store a part, and these fields of the export with it. Raises Superseded."""
        part = ExportPart(export=self, number=number, content=zlib.compress(content, COMPRESSION))
        with transaction.atomic():
            if not Export.objects.kept().filter(pk=self.pk, run=self.run, finished=None).update(run=self.run, **fields):
                raise Superseded
            part.save(force_insert=True)


class ExportPart(models.Model):
    """A piece of the file, compressed, so that any process of any host can send it."""

    export = models.ForeignKey(Export, on_delete=models.DB_CASCADE, related_name="stored", db_index=False)
    number = models.PositiveIntegerField()
    content = models.BinaryField()

    class Meta:
        default_permissions = ()
        constraints = [models.UniqueConstraint(fields=["export", "number"], name="export_part")]

    def __str__(self) -> str:
        return f"part {self.number} of {self.export_id}"

    @property
    def text(self) -> str:
        return zlib.decompress(self.content).decode()
