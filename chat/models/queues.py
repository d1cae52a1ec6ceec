"""Queues of conversations that reviewers mark by a rubric, each for themselves."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import IntegrityError, models, transaction
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from chat.models.conversations import Conversation, Message
from chat.models.ids import uuid7
from chat.models.review_limits import ReviewLimit

if TYPE_CHECKING:
    from chat.models.users import User

MOST_REVIEWERS = 5
MOST_MINUTES = 24 * 60
MOST_LEFT = 1000
# A reviewer who finds so many taken by others while they look has to look again.
TRIES = 20
# So long others come first for what a reviewer has skipped.
SKIPPED_FOR = timedelta(days=1)


def _free() -> Q:
    """What nobody holds at this moment."""
    return Q(reviewer=None) | Q(reserved__lte=timezone.now())


def _locked(conversations: Iterable[UUID]) -> list[UUID]:
    """Those of these conversations that exist; nobody can erase them before the transaction ends."""
    there = Conversation.objects.filter(pk__in=list(conversations)).order_by("pk").select_for_update(no_key=True)
    return [conversation.pk for conversation in there.only("pk")]


class ReviewQueue(models.Model):
    """Conversations that so many reviewers each mark by the rubric (see chat/rubric.py)."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(_("name"), max_length=100, unique=True)
    instructions = models.TextField(_("instructions"), blank=True)
    rubric = models.TextField(_("rubric"))
    reviewers = models.PositiveSmallIntegerField(
        _("reviewers of each conversation"),
        default=1,
        validators=[MinValueValidator(1), MaxValueValidator(MOST_REVIEWERS)],
    )
    minutes = models.PositiveSmallIntegerField(
        _("minutes of a reservation"), default=30, validators=[MinValueValidator(1), MaxValueValidator(MOST_MINUTES)]
    )

    # For a list of the admin: who looks at it, and its progress for them.
    reader: User
    counts: dict[str, int]

    def __str__(self) -> str:
        return self.name

    @transaction.atomic
    def put(self, conversations: Iterable[UUID]) -> int:
        """Put in those of these conversations that exist and are not in it; returns how many that are."""
        pks = _locked(conversations)
        known = set(self.markings.filter(conversation__in=pks).values_list("conversation", flat=True))
        new = [pk for pk in pks if pk not in known]
        rows = [Marking(queue=self, conversation_id=pk, place=place) for pk in new for place in range(self.reviewers)]
        Marking.objects.bulk_create(rows)
        return len(new)

    @transaction.atomic
    def take_out(self, conversations: Iterable[UUID]) -> int:
        """Take out what nobody has marked or holds of these; returns of how many conversations that was something."""
        free = self.markings.filter(_free(), conversation__in=_locked(conversations), done=None)
        out = set(free.values_list("conversation", flat=True))
        free.delete()
        rows = [TakenOut(queue=self, conversation_id=pk) for pk in out]
        TakenOut.objects.bulk_create(rows, ignore_conflicts=True)
        return len(out)

    def is_in_use(self) -> bool:
        """Whether somebody has given marks, or has reserved a conversation to give them."""
        return self.markings.filter(Q(done__isnull=False) | Q(reserved__gt=timezone.now())).exists()

    def has_skipped(self, reviewer: User) -> bool:
        return self.skips.filter(reviewer=reviewer, until__gt=timezone.now()).exists()

    def progress(self, reviewer: User) -> dict[str, int]:
        """How many marks are wanted in `all`, and `done`. Without a limit indexes tell both, however many there are."""
        known = self.markings.known_to(reviewer)
        wanted = known.count()
        return {"all": wanted, "done": wanted - known.filter(done=None).count()}

    def left(self, reviewer: User) -> int:
        """How many marks are still to be given, as far as MOST_LEFT + 1: this is counted for each page."""
        return self.markings.known_to(reviewer).filter(done=None)[: MOST_LEFT + 1].count()


class MarkingQuerySet(models.QuerySet["Marking"]):
    def known_to(self, reviewer: User) -> MarkingQuerySet:
        """Those of people whose conversations the reviewer may see."""
        if ReviewLimit.of(reviewer) is None:
            return self
        return self.filter(conversation__owner__in=ReviewLimit.people_of(reviewer))

    def shown_to(self, reviewer: User) -> MarkingQuerySet:
        """The given ones that they may see: of what they have marked themselves, or nobody is to mark any more.

        So nobody sees the marks of others before giving theirs.
        """
        same = Marking.objects.filter(queue=OuterRef("queue"), conversation=OuterRef("conversation"))
        mine, is_open = same.filter(reviewer=reviewer).exclude(done=None), same.filter(done=None)
        return self.filter(Exists(mine) | ~Exists(is_open)).exclude(done=None)

    def open_to(self, reviewer: User) -> MarkingQuerySet:
        """What they may be given now: their own, and what is free of conversations they have not marked or skipped."""
        same = {"queue": OuterRef("queue"), "conversation": OuterRef("conversation"), "reviewer": reviewer}
        mine = Marking.objects.filter(**same)
        skipped = Skip.objects.filter(**same, until__gt=timezone.now())
        seen = Conversation.objects.for_reviewer(reviewer).filter(pk=OuterRef("conversation"))
        return self.filter(Q(reviewer=reviewer) | _free() & ~Exists(mine) & ~Exists(skipped), Exists(seen), done=None)

    def claim(self, queue: ReviewQueue, reviewer: User, only: UUID | None = None) -> Marking | None:
        """The first one that is open to this reviewer, reserved for them; None if there is none.

        It is one of the conversation `only`, if they have chosen that.
        """
        open_here = queue.markings.open_to(reviewer)
        if only:
            open_here = open_here.filter(conversation=only)
        # First what they have begun.
        for _try in range(TRIES):
            begun = open_here.filter(reviewer=reviewer).order_by("conversation", "place").first()
            marking = begun or open_here.order_by("conversation", "place").first()
            if marking is None or marking.reserve(reviewer, timedelta(minutes=queue.minutes)):
                return marking
        return None


class Marking(models.Model):
    """The marks that one reviewer gives to a conversation of a queue, or is to give."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    queue = models.ForeignKey(ReviewQueue, on_delete=models.DB_CASCADE, related_name="markings", db_index=False)
    conversation = models.ForeignKey(Conversation, on_delete=models.DB_CASCADE, related_name="markings")
    # From 0: a conversation has so many as the queue wants reviewers.
    place = models.PositiveSmallIntegerField()
    reviewer = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.DB_SET_NULL, related_name="markings"
    )
    # Until when it is kept for the reviewer.
    reserved = models.DateTimeField(null=True)
    done = models.DateTimeField(null=True)
    marks = models.JSONField(default=dict)
    # The end of the branch that was judged.
    leaf = models.ForeignKey(Message, null=True, on_delete=models.DB_CASCADE, related_name="+")
    # A better answer, and which one it is about.
    corrected = models.ForeignKey(Message, null=True, on_delete=models.DB_CASCADE, related_name="+")
    correction = models.TextField(blank=True)

    objects = MarkingQuerySet.as_manager()

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(fields=["queue", "conversation", "place"], name="marking_place"),
            models.UniqueConstraint(fields=["queue", "conversation", "reviewer"], name="marking_reviewer"),
        ]
        indexes = [models.Index(fields=["queue", "conversation", "place"], condition=Q(done=None), name="marking_open")]

    def __str__(self) -> str:
        return f"marking {self.pk}"

    @property
    def held_until(self) -> datetime | None:
        """Until when nobody else can have it; None if anybody can, or if it is done."""
        is_held = self.done is None and self.reviewer_id and self.reserved and self.reserved > timezone.now()
        return self.reserved if is_held else None

    def reserve(self, reviewer: User, time: timedelta) -> bool:
        """Whether it was still open to them, and so is theirs for this time."""
        try:
            with transaction.atomic():
                reserved = Marking.objects.filter(_free() | Q(reviewer=reviewer), pk=self.pk, done=None)
                return bool(reserved.update(reviewer=reviewer, reserved=timezone.now() + time))
        except IntegrityError:
            # From another tab they have got another place of this conversation.
            return False

    def give(
        self,
        reviewer: User,
        marks: dict[str, Any],
        correction: str = "",
        of: Message | None = None,
        leaf: Message | None = None,
    ) -> bool:
        """Whether it was still theirs, and so is done."""
        fields = {"marks": marks, "correction": correction, "corrected": of, "leaf": leaf, "done": timezone.now()}
        return bool(self._held_by(reviewer).update(**fields))

    @transaction.atomic
    def skip(self, reviewer: User) -> bool:
        """Whether it was still theirs, and so is free for others, who come first for a while."""
        if not self._held_by(reviewer).update(reviewer=None, reserved=None):
            return False
        same: dict[str, Any] = {
            "queue_id": self.queue_id,
            "conversation_id": self.conversation_id,
            "reviewer": reviewer,
        }
        Skip.objects.update_or_create({"until": timezone.now() + SKIPPED_FOR}, **same)
        return True

    def _held_by(self, reviewer: User) -> models.QuerySet[Marking]:
        return Marking.objects.filter(pk=self.pk, reviewer=reviewer, done=None)


class Skip(models.Model):
    """A conversation of a queue that a reviewer leaves to others for a while."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    queue = models.ForeignKey(ReviewQueue, on_delete=models.DB_CASCADE, related_name="skips", db_index=False)
    conversation = models.ForeignKey(Conversation, on_delete=models.DB_CASCADE, related_name="+")
    reviewer = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.DB_CASCADE, related_name="+")
    until = models.DateTimeField()

    class Meta:
        default_permissions = ()
        constraints = [models.UniqueConstraint(fields=["queue", "conversation", "reviewer"], name="skip_once")]

    def __str__(self) -> str:
        return f"skip {self.pk}"


class TakenOut(models.Model):
    """A conversation that somebody has taken out of a queue. The queue's rule leaves it out; a person may put it in."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    queue = models.ForeignKey(ReviewQueue, on_delete=models.DB_CASCADE, related_name="taken_out", db_index=False)
    conversation = models.ForeignKey(Conversation, on_delete=models.DB_CASCADE, related_name="+")

    class Meta:
        default_permissions = ()
        constraints = [models.UniqueConstraint(fields=["queue", "conversation"], name="taken_out_once")]

    def __str__(self) -> str:
        return f"taken out {self.pk}"
