"""How far the review of a conversation has come, who reviews it, and the labels of reviewers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import models, transaction
from django.db.models import Exists, F, OuterRef
from django.utils import timezone
from django.utils.functional import cached_property
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from chat.models.conversations import Conversation
from chat.models.ids import uuid7
from chat.models.labels import LONGEST_NAME, MOST_OF_CONVERSATION, key_of
from chat.models.review_limits import ReviewLimit
from chat.models.users import User

# How many labels all reviewers have together.
MOST_LABELS = 200


class ReviewLabelError(Exception):
    """There would be too many labels, on the conversation if `is_here` and otherwise in all. Nothing has changed."""

    def __init__(self, *, is_here: bool) -> None:
        super().__init__()
        self.most = MOST_OF_CONVERSATION if is_here else MOST_LABELS
        self.is_here = is_here


class ReviewLabelQuerySet(models.QuerySet["ReviewLabel"]):
    def for_reviewer(self, user: User) -> ReviewLabelQuerySet:
        """Those of conversations that they may read; all, if they are not limited to some people's."""
        if not user.has_perms(["chat.view_conversation", "chat.read_conversation"]):
            return self.none()
        labels = self.order_by("key")
        if ReviewLimit.of(user) is None:
            return labels
        # By a look for one of each: otherwise SQLite goes through all conversations of these people.
        people = ReviewLimit.people_of(user)
        theirs = ReviewLabelling.objects.filter(label=OuterRef("pk"), review__conversation__owner__in=people)
        return labels.filter(Exists(theirs))

    def named(self, names: Iterable[str]) -> list[ReviewLabel]:
        """Those of these names; what there is not yet is made. Raises ReviewLabelError."""
        by_key = {key_of(name): name for name in names}
        if len(by_key) > MOST_OF_CONVERSATION:
            raise ReviewLabelError(is_here=True)
        known = set(self.filter(key__in=by_key).values_list("key", flat=True))
        new = [ReviewLabel(name=name, key=key) for key, name in by_key.items() if key not in known]
        if new and self.count() + len(new) > MOST_LABELS:
            raise ReviewLabelError(is_here=False)
        # Another reviewer may be making the same.
        self.bulk_create(new, ignore_conflicts=True)
        return list(self.filter(key__in=by_key).order_by("key"))


class ReviewLabel(models.Model):
    """A name that reviewers give to conversations. All reviewers share them, and the owners never see them."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(_("name"), max_length=LONGEST_NAME)
    # `key_of` the name.
    key = models.CharField(max_length=3 * LONGEST_NAME, unique=True, editable=False)

    objects = ReviewLabelQuerySet.as_manager()

    def __str__(self) -> str:
        return self.name


class ReviewQuerySet(models.QuerySet["Review"]):
    def of(self, conversation: Conversation) -> Review:
        """Its review; one that is not stored, if nobody has changed it yet."""
        known = self.select_related("assignee", "changed_by").filter(conversation=conversation).first()
        return known or Review(conversation=conversation)

    @transaction.atomic
    def change(
        self, pk: UUID, version: int, by: User, *, state: str, assignee: User | None, labels: Iterable[str]
    ) -> bool:
        """Whether the review of this conversation was still at this version, and so has been changed.

        Raises ReviewLabelError, and Conversation.DoesNotExist if it has been erased.
        """
        # The row of the review cannot appear while its conversation is being erased.
        Conversation.objects.select_for_update(no_key=True).get(pk=pk)
        self.bulk_create([Review(conversation_id=pk)], ignore_conflicts=True)
        fields: dict[str, Any] = {"state": state, "assignee": assignee, "changed_by": by, "changed": timezone.now()}
        if not self.filter(pk=pk, version=version).update(version=F("version") + 1, **fields):
            return False
        given = ReviewLabel.objects.named(labels)
        ReviewLabelling.objects.filter(review=pk).exclude(label__in=given).delete()
        rows = [ReviewLabelling(review_id=pk, label=label) for label in given]
        ReviewLabelling.objects.bulk_create(rows, ignore_conflicts=True)
        return True


class Review(models.Model):
    """The review of one conversation. While nobody has changed it there is no row, and the state is new."""

    class State(models.TextChoices):
        NEW = "new", _("New")
        IN_REVIEW = "in review", _("In review")
        DONE = "done", _("Done")

    conversation = models.OneToOneField(
        Conversation, on_delete=models.DB_CASCADE, primary_key=True, related_name="review"
    )
    state = models.CharField(_("state"), max_length=9, choices=State, default=State.NEW)
    assignee = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.DB_SET_NULL, related_name="reviews"
    )
    # Each change raises it, so that whoever has seen an older one is told.
    version = models.PositiveIntegerField(default=0)
    changed = models.DateTimeField(null=True)
    changed_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.DB_SET_NULL, related_name="+")

    objects = ReviewQuerySet.as_manager()

    class Meta:
        default_permissions = ()
        permissions = [("review_conversation", "Can review conversation")]
        indexes = [models.Index(fields=["state"], name="review_state")]

    def __str__(self) -> str:
        return f"review of conversation {self.pk}"

    @property
    def summary(self) -> str:
        """The state and the reviewer, for people."""
        summary = gettext("Review: %(state)s") % {"state": self.get_state_display()}
        return f"{summary}, {self.assignee.get_username()}" if self.assignee else summary

    @cached_property
    def label_names(self) -> list[str]:
        if not self.version:
            return []
        given = ReviewLabel.objects.filter(labellings__review=self.pk)
        return list(given.order_by("key").values_list("name", flat=True))


class ReviewLabelling(models.Model):
    """That reviewers have given a label to a conversation."""

    review = models.ForeignKey(Review, on_delete=models.DB_CASCADE, related_name="labellings", db_index=False)
    label = models.ForeignKey(ReviewLabel, on_delete=models.DB_CASCADE, related_name="labellings")

    class Meta:
        default_permissions = ()
        constraints = [models.UniqueConstraint(fields=["review", "label"], name="review_labelling_once")]

    def __str__(self) -> str:
        return f"review labelling {self.pk}"
