"""Labels that people give to their conversations."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple
from unicodedata import normalize
from uuid import UUID

from django.conf import settings
from django.db import models, transaction
from django.db.models import Count, Q

from chat.compiled import compiled
from chat.models.conversations import Conversation
from chat.models.ids import uuid7
from chat.models.users import User

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser

# Characters of a name.
LONGEST_NAME = 50
# How many labels a person can have, and how many a conversation.
MOST_OF_PERSON = 200
MOST_OF_CONVERSATION = 20


class LabelError(Exception):
    """A change of labels is refused, and nothing has changed. `code` is for `forms.label_error`."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def key_of(name: str) -> str:
    """What names are compared by: their letters without case."""
    return normalize("NFC", name).casefold()


class LabelName(NamedTuple):
    """A label as lists show it. A person may have many, and rows of their own take five times as long."""

    pk: UUID
    name: str


class LabelQuerySet(models.QuerySet["Label"]):
    def for_user(self, user: User | AnonymousUser) -> LabelQuerySet:
        """A person's labels by their names."""
        return self.filter(owner_id=user.pk).order_by("key")

    def names(self, person: int) -> list[LabelName]:
        """Those of a person, in their order."""
        return [LabelName(pk, name) for pk, name in _names(person)]

    def with_counts(self) -> models.QuerySet[Any]:
        """With the `count` of the conversations that have each, without those in the trash."""
        return self.annotate(count=Count("conversations", filter=Q(conversations__trashed=None)))

    def named(self, owner: int, name: str) -> Label:
        """A person's label of this name, which is made if there is none. The transaction has locked the person.

        Raises LabelError.
        """
        own = self.filter(owner=owner)
        if label := own.filter(key=key_of(name)).first():
            return label
        if own.count() >= MOST_OF_PERSON:
            raise LabelError("too_many")
        return self.create(owner_id=owner, name=name, key=key_of(name))


@compiled
def _names(person: int) -> models.QuerySet[Label, tuple[UUID, str]]:
    return Label.objects.filter(owner=person).order_by("key").values_list("pk", "name")


class Label(models.Model):
    """A name that a person gives to some of their conversations, and finds them by.

    All changes change the version of the person's list first, which locks the person, as a question does.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.DB_CASCADE, related_name="labels", db_index=False
    )
    name = models.CharField(max_length=LONGEST_NAME)
    # `key_of` the name. A letter can become three without its case.
    key = models.CharField(max_length=3 * LONGEST_NAME, editable=False)

    objects = LabelQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["owner", "key"], name="label_name")]

    def __str__(self) -> str:
        return self.name

    @transaction.atomic
    def rename(self, name: str) -> None:
        """Raises LabelError, and Label.DoesNotExist if it has been deleted."""
        User.change_list(self.owner_id)
        key = key_of(name)
        if Label.objects.filter(owner=self.owner_id, key=key).exclude(pk=self.pk).exists():
            raise LabelError("taken")
        if not Label.objects.filter(pk=self.pk).update(name=name, key=key):
            raise Label.DoesNotExist

    @transaction.atomic
    def remove(self) -> None:
        """Delete it. The conversations that have it stay."""
        User.change_list(self.owner_id)
        Label.objects.filter(pk=self.pk).delete()


class LabellingQuerySet(models.QuerySet["Labelling"]):
    def conversations(self, label: UUID) -> models.QuerySet[Any, Any]:
        """The ids of those that have this label, to filter by.

        Not by a join: SQLite would look up each conversation of a list until it has found enough. Of 10,000, for a
        label that few have, that takes twice as long.
        """
        return self.filter(label=label).values("conversation")

    @transaction.atomic
    def choose(self, conversation: Conversation, chosen: Iterable[Label], new: str = "") -> None:
        """Let a conversation have the chosen labels of its owner, one of the `new` name if there is one, and no others.

        Raises LabelError, and DoesNotExist for what has been deleted.
        """
        User.change_list(conversation.owner_id)
        Conversation.objects.kept().select_for_update().get(pk=conversation.pk)
        own = Label.objects.filter(owner=conversation.owner_id)
        labels = set(own.filter(pk__in=[label.pk for label in chosen]))
        if new:
            labels.add(Label.objects.named(conversation.owner_id, new))
        if len(labels) > MOST_OF_CONVERSATION:
            raise LabelError("too_many_here")
        self.filter(conversation=conversation).exclude(label__in=labels).delete()
        rows = [Labelling(label=label, conversation=conversation) for label in labels]
        self.bulk_create(rows, ignore_conflicts=True)

    @transaction.atomic
    def give(self, person: User, conversations: Collection[UUID], label: Label | None, new: str) -> tuple[Label, int]:
        """Give a label, or the one of the `new` name, to those of the conversations that are the person's.

        Returns it, and how many have it now. Raises LabelError, and DoesNotExist for a label that has been deleted.
        """
        User.change_list(person.pk)
        own = Conversation.objects.for_user(person).lasting().filter(pk__in=conversations)
        pks = list(own.order_by("pk").select_for_update().values_list("pk", flat=True))
        if new or label is None:
            label = Label.objects.named(person.pk, new)
        else:
            label.refresh_from_db()
        others = self.filter(conversation__in=pks).exclude(label=label).values("conversation")
        if others.annotate(count=Count("pk")).filter(count__gte=MOST_OF_CONVERSATION).exists():
            raise LabelError("too_many_here")
        self.bulk_create([Labelling(label=label, conversation_id=pk) for pk in pks], ignore_conflicts=True)
        return label, len(pks)

    @transaction.atomic
    def take(self, person: User, conversations: Collection[UUID], label: Label) -> int:
        """Take this label of the person from these conversations; returns how many there are."""
        User.change_list(person.pk)
        own = Conversation.objects.for_user(person).lasting().filter(pk__in=conversations)
        self.filter(label=label, conversation__in=own).delete()
        return own.count()

    def show_on(self, conversations: Collection[Conversation], labels: Collection[LabelName]) -> None:
        """Set the `label_names` of these conversations: which of the labels each has, in their order."""
        given: dict[UUID, list[UUID]] = defaultdict(list)
        if labels:
            rows = self.filter(conversation__in=[conversation.pk for conversation in conversations])
            for label, pk in rows.values_list("label", "conversation"):
                given[label].append(pk)
        names: dict[UUID, list[str]] = defaultdict(list)
        for each in labels:
            for pk in given[each.pk]:
                names[pk].append(each.name)
        for conversation in conversations:
            conversation.label_names = names[conversation.pk]


class Labelling(models.Model):
    """That a conversation has a label."""

    label = models.ForeignKey(Label, on_delete=models.DB_CASCADE, related_name="labellings", db_index=False)
    conversation = models.ForeignKey(Conversation, on_delete=models.DB_CASCADE, related_name="labellings")

    objects = LabellingQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["label", "conversation"], name="labelling_once")]

    def __str__(self) -> str:
        return f"labelling {self.pk}"
