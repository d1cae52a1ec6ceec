"""Conversations and their messages."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.conf import settings
from django.db import models, transaction
from django.db.models import F, Q, Value
from django.db.models.functions import Coalesce, Now
from django.urls import reverse
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from chat.compiled import compiled
from chat.models import tree
from chat.models.ids import uuid7
from chat.models.review_limits import ReviewLimit
from chat.models.summaries import Summary
from chat.models.users import User

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser

    from chat.models.labels import Label, Labelling
    from chat.models.remarks import Remark


# Where a conversation is in its person's list: whether it is pinned, its last activity, its id.
type Place = tuple[bool, datetime, UUID]

TITLE_CHARS = 80
# No branch is followed further up than this.
LONGEST_BRANCH = 10_000


def title_of(text: str) -> str:
    """The first line of a question, cut at a word."""
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    if len(line) <= TITLE_CHARS:
        return line
    return line[: TITLE_CHARS - 1].rsplit(" ", 1)[0] + "…"


class ConversationQuerySet(models.QuerySet["Conversation"]):
    def for_user(self, user: User | AnonymousUser) -> ConversationQuerySet:
        """What is in the trash does not exist, but for `trash_of`."""
        return self.kept().filter(owner_id=user.pk)

    def own(self, person: int, pk: UUID) -> Conversation | None:
        """This one, if it is the person's and not in the trash."""
        return next(iter(_own(person, pk)), None)

    def for_reviewer(self, user: User) -> ConversationQuerySet:
        """What they may see in the administration, the trash included: that it exists, whose it is, its figures.

        Its text, to which the title belongs, takes the permission `read_conversation` besides.
        """
        if not user.has_perm("chat.view_conversation"):
            return self.none()
        is_limited = ReviewLimit.of(user) is not None
        return self.filter(owner__in=ReviewLimit.people_of(user)) if is_limited else self

    def without_title(self) -> ConversationQuerySet:
        """Those that have nothing but the first words, so that a model may give them a title."""
        return self.kept().lasting().filter(titled_by=Conversation.TitledBy.WORDS)

    def kept(self) -> ConversationQuerySet:
        """Those that are not in the trash."""
        return self.filter(trashed=None)

    def lasting(self) -> ConversationQuerySet:
        """Those that lists and searches have: all but the temporary ones."""
        return self.filter(temporary=False)

    def set_archived(self, person: User, pks: Collection[UUID], *, archived: bool) -> int:
        """Put those of these conversations that are the person's in the archive, or in the list; returns how many."""
        unpinned = {"pinned": False} if archived else {}
        return self._change(person, pks, archived=archived, **unpinned)

    def set_pinned(self, person: User, pks: Collection[UUID], *, pinned: bool) -> int:
        """Pin those of these conversations that are in the person's list, or no longer; returns how many."""
        return self.filter(archived=False)._change(person, pks, pinned=pinned)

    @transaction.atomic
    def _change(self, person: User, pks: Collection[UUID], **fields: bool) -> int:
        # First, as a question locks its person first too.
        User.change_list(person.pk)
        own = self.for_user(person).lasting().filter(pk__in=pks)
        return own.update(**fields, version=F("version") + 1)

    def trash_of(self, user: User | AnonymousUser) -> ConversationQuerySet:
        return self.lasting().filter(owner_id=user.pk, trashed__isnull=False)

    def erase(self) -> list[Conversation]:
        """Delete these for good; returns those that were still there, with their owners. Comes in a transaction."""
        there = (
            self.select_related("owner").only("owner", "owner__username").order_by("pk").select_for_update(of=("self",))
        )
        erased = list(there)
        self.model.objects.filter(pk__in=[conversation.pk for conversation in erased]).delete()
        return erased

    def sent_along(self, pk: UUID) -> dict[str, Any]:
        """What goes to the model with the next question of a conversation, as fields of its reply."""
        for sent in _sent_along(pk):
            return _as_fields(*sent)
        raise Conversation.DoesNotExist

    def with_last_reply(self) -> models.QuerySet[Any]:
        """With the `status` of the reply on screen, and when it `ended`."""
        # While a person compares two answers, the leaf is their question.
        return self.annotate(
            status=Coalesce("leaf__reply__status", "leaf__comparison__second__reply__status"),
            ended=Coalesce("leaf__reply__ended", "leaf__comparison__second__reply__ended"),
        )

    def listed(self, before: Place | None = None) -> ConversationQuerySet:
        """What the sidebar lists of a person's conversations: the pinned ones, then the latest activity first.

        `before` is the place of the last one already known.
        """
        listed = self.lasting().filter(archived=False).order_by("-pinned", "-updated", "-pk")
        if before is None:
            return listed
        pinned, updated, pk = before
        if pinned:
            # They are few, so that the database may read all of them.
            return listed.exclude(Q(pinned=True) & (Q(updated__gt=updated) | Q(updated=updated, pk__gte=pk)))
        # Not one OR, and a comparison with a value: in this form the database can walk the index from there on.
        return listed.filter(pinned=Value(False), updated__lte=updated).exclude(updated=updated, pk__gte=pk)


@compiled
def _own(person: int, pk: UUID) -> models.QuerySet[Conversation]:
    return Conversation.objects.kept().filter(owner=person, pk=pk)


@compiled
def _unseen_end(pk: UUID) -> models.QuerySet[Conversation, tuple[datetime]]:
    return Conversation.objects.with_last_reply().filter(pk=pk, ended__gt=F("seen")).values_list("ended")


@compiled
def _sent_along(pk: UUID) -> models.QuerySet[Conversation, tuple[Any, ...]]:
    found = Conversation.objects.filter(pk=pk)
    return found.values_list("owner__instructions", "instructions", "temperature", "max_tokens")


def _as_fields(of_person: str, own: str, temperature: float | None, max_tokens: int | None) -> dict[str, Any]:
    instructions = "\n\n".join(filter(None, [of_person, own]))
    return {"instructions": instructions, "temperature": temperature, "max_tokens": max_tokens}


class Conversation(Summary):
    """A tree of messages that one person owns; `leaf` is the end of the branch on screen."""

    class TitledBy(models.TextChoices):
        """Where the title comes from: the first words of the question until a model or a person has given another.

        MODEL also after a model had nothing to offer, and the words have stayed.
        """

        WORDS = "words"
        MODEL = "model"
        PERSON = "person"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    # conversation_trash begins with the owner, so the owner needs no index.
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.DB_CASCADE, related_name="conversations", db_index=False
    )
    title = models.CharField(max_length=200)
    titled_by = models.CharField(
        max_length=6, choices=TitledBy, default=TitledBy.WORDS, db_default=TitledBy.WORDS, editable=False
    )
    model = models.CharField(max_length=200)
    # What its person wants here, besides their own instructions; each reply has what was sent for it.
    instructions = models.TextField(blank=True, db_default="", editable=False)
    temperature = models.FloatField(null=True, editable=False)
    max_tokens = models.PositiveIntegerField("most tokens of a reply", null=True, editable=False)
    # Without its index, deleting would scan all conversations once per message.
    leaf = models.ForeignKey("Message", null=True, on_delete=models.DB_SET_NULL, related_name="+")
    created = models.DateTimeField(default=timezone.now, editable=False)
    updated = models.DateTimeField(_("last activity"), default=timezone.now, editable=False)
    # Raised by each transaction that changes what a page of it shows, except by the end of a reply: pages follow those.
    version = models.PositiveBigIntegerField(db_default=0, editable=False)
    pinned = models.BooleanField(default=False, db_default=False, editable=False)
    archived = models.BooleanField(default=False, db_default=False, editable=False)
    # The end of the last reply of which its person has seen how it ended; before there is one, when it began.
    seen = models.DateTimeField(default=timezone.now, db_default=Now(), editable=False)
    labels: models.ManyToManyField[Label, Labelling] = models.ManyToManyField(
        "Label", through="Labelling", related_name="conversations", editable=False
    )
    # It is in no list and no search, and is erased when it ends: see chat/temporary.py.
    temporary = models.BooleanField(default=False, db_default=False, editable=False)
    # The same for all that a person has deleted in one go. A temporary one has ended.
    trashed = models.DateTimeField(_("in the trash since"), null=True, editable=False)

    objects = ConversationQuerySet.as_manager()

    # The names of its labels that a page or a document shows, once a view has set them.
    label_names: Sequence[str] = ()
    # For a list of the admin: whether a reply is being written in it, once `note_marks` has looked, and pieces of a
    # text in which a search has found something.
    is_running: bool
    # Likewise: whether it has an open flag or report.
    is_flagged: bool
    snippet: Sequence[Any] = ()

    class Meta:
        permissions = [("read_conversation", "Can read conversation")]
        indexes = [
            models.Index(
                fields=["owner", "-pinned", "-updated", "-id"],
                condition=Q(trashed=None, archived=False),
                name="conversation_history",
            ),
            models.Index(
                fields=["owner", "-updated", "-id"],
                condition=Q(trashed=None, archived=True),
                name="conversation_archive",
            ),
            models.Index(fields=["owner", "trashed"], name="conversation_trash"),
            models.Index(fields=["trashed"], condition=Q(trashed__isnull=False), name="conversation_purge"),
            # For administrators, who list those of all people.
            models.Index(fields=["-updated", "-id"], name="conversation_updated"),
            models.Index(fields=["statuses", "-updated", "-id"], name="conversation_statuses"),
            models.Index(fields=["-updated", "-id"], condition=Q(good__gt=0), name="conversation_good"),
            models.Index(fields=["-updated", "-id"], condition=Q(bad__gt=0), name="conversation_bad"),
            models.Index(fields=["trashed", "owner"], condition=Q(temporary=True), name="conversation_temporary"),
        ]

    def __str__(self) -> str:
        # Django shows it to people who may not read the title, and keeps it after the deletion.
        return f"conversation {self.pk}"

    def get_absolute_url(self) -> str:
        return reverse("conversation", args=[self.pk])

    def message(self, pk: str) -> Message | None:
        """The message with this id, if there is one; without its text, which may be long."""
        try:
            return self.messages.defer("text").filter(pk=UUID(pk)).first()
        except ValueError:
            return None

    def branch(self, leaf_id: UUID | None, last: int) -> list[Message]:
        """The `last` messages up to the leaf, oldest first, each with its siblings and, if an answer, its reply."""
        if leaf_id is None:
            return []
        path = tree.path(leaf_id, last)
        rows = self.messages.select_related("reply").in_bulk(path)
        branch = [rows[pk] for pk in reversed(path) if pk in rows]
        self.find_siblings(branch)
        return branch

    def below(self, message: Message | None) -> list[UUID]:
        """The ids from the leaf up to `message`, or to the sibling that is on screen in its place, the leaf first.

        All that are on screen for None; empty if neither message is.
        """
        parent = message.parent_id if message else None
        path = tree.path(self.leaf_id, LONGEST_BRANCH, parent or tree.NO_MESSAGE) if self.leaf_id else []
        if parent is None:
            return path
        return path[:-1] if path[-1:] == [parent] else []

    def compared(self) -> list[Message]:
        """The two answers to the leaf, which is a question while a person has not chosen one of them."""
        # One of them may have been chosen since the leaf was read.
        answers = Comparison.objects.filter(question=self.leaf_id).values_list("first", "second").first() or ()
        rows = self.messages.select_related("reply").in_bulk(answers)
        return [rows[answer] for answer in answers]

    @transaction.atomic
    def show(self, message: Message) -> None:
        """Put the branch through `message` on screen, down to its newest end; of two answers, choose this one."""
        # With the lock, another try at one of the two comes before the choice or after it.
        Conversation.objects.select_for_update().get(pk=self.pk)
        chosen, _ = Comparison.objects.of(message).delete()
        if chosen:
            self.model = message.reply.model
            self.change("model")
        self.leaf_id = tree.newest_leaf(message.pk)
        self.change("leaf")

    def sent_along(self) -> dict[str, Any]:
        """What goes to the model with the next question, as fields of its reply."""
        return _as_fields(self.owner.instructions, self.instructions, self.temperature, self.max_tokens)

    def change(self, *fields: str) -> None:
        """Save these fields, of which pages show at least one."""
        self.version = F("version") + 1
        self.save(update_fields=[*fields, "version"])

    @transaction.atomic
    def set_options(self, **fields: Any) -> None:
        """Set the title, `pinned` or `archived`, which a person has chosen. An archived conversation is not pinned.

        Raises Conversation.DoesNotExist if it has been deleted.
        """
        if fields.get("archived"):
            fields["pinned"] = False
        if "title" in fields:
            fields["titled_by"] = Conversation.TitledBy.PERSON
        # First, as a question locks its person first too.
        User.change_list(self.owner_id)
        if not Conversation.objects.kept().filter(pk=self.pk).update(**fields, version=F("version") + 1):
            raise Conversation.DoesNotExist
        self.refresh_from_db(fields=["title", "pinned", "archived"])
        if "title" in fields:
            from chat.models.searchable import Searchable

            Searchable.objects.put([Searchable.of_title(self)])

    def unseen_end(self) -> datetime | None:
        """When the reply on screen has ended, if its person has not seen that."""
        return next((ended for (ended,) in _unseen_end(self.pk)), None)

    def see(self) -> None:
        """Note that its person has seen how the reply on screen has ended."""
        ended = self.unseen_end()
        if ended is None:
            return
        with transaction.atomic():
            # First, as a question locks its person first too.
            User.change_list(self.owner_id)
            Conversation.objects.filter(pk=self.pk, seen__lt=ended).update(seen=ended)

    def find_siblings(self, messages: list[Message]) -> None:
        """Set the siblings of these messages."""
        parents = {message.parent_id for message in messages}
        has_parent = self.messages.filter(parent__in=parents - {None})
        is_root = self.messages.filter(parent=None) if None in parents else self.messages.none()
        same_parent: dict[UUID | None, list[UUID]] = {}
        for rows in (has_parent, is_root):
            for pk, parent in rows.order_by("created", "pk").values_list("pk", "parent"):
                same_parent.setdefault(parent, []).append(pk)
        for message in messages:
            message.siblings = tree.siblings_of(message.pk, same_parent[message.parent_id])


class Message(models.Model):
    """A question or an answer. The text of an answer is written once, when its reply ends."""

    class Role(models.TextChoices):
        USER = "user"
        ASSISTANT = "assistant"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    conversation = models.ForeignKey(Conversation, on_delete=models.DB_CASCADE, related_name="messages", db_index=False)
    # Messages go with their conversation, all at once. If they went with their parents too, one deletion would nest in
    # the other: SQLite takes time with the square of their number, and refuses at a thousand.
    parent = models.ForeignKey("self", null=True, on_delete=models.DO_NOTHING, related_name="children", db_index=False)
    role = models.CharField(max_length=9, choices=Role)
    text = models.TextField(blank=True)
    created = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        indexes = [
            models.Index(fields=["conversation", "created"], name="message_order"),
            # Without the first messages: an analyzed SQLite took it for the way to those of one conversation.
            models.Index(fields=["parent"], condition=Q(parent__isnull=False), name="message_children"),
        ]

    siblings: tree.Siblings | None = None
    # What the administration shows about it.
    remarks_shown: Sequence[Remark] = ()
    # Its text as HTML, once `Rendering.show` has set it.
    html: SafeString

    def __str__(self) -> str:
        return f"{self.role} message {self.pk}"

    def get_absolute_url(self) -> str:
        """The place of the message on its conversation's page."""
        return f"{reverse('conversation', args=[self.conversation_id])}#message-{self.pk}"

    @property
    def is_final(self) -> bool:
        """Whether its text stays as it is, unless a reply is resumed."""
        return self.role == self.Role.USER or not self.reply.is_running

    @property
    def version(self) -> str:
        """Differs after each change of what a page shows of it, once a reply has ended."""
        siblings = self.siblings
        place = f"{siblings.position}/{siblings.count}" if siblings else ""
        if self.role == self.Role.USER:
            return place
        place = "compared" if self.is_compared else place
        return f"{self.reply.status} {self.reply.ended} {self.reply.feedback_given} {place}"

    @property
    def is_compared(self) -> bool:
        """Whether it is one of the answers of which a person has not chosen one yet."""
        return self.role == self.Role.ASSISTANT and self.parent_id == self.conversation.leaf_id


class ComparisonQuerySet(models.QuerySet["Comparison"]):
    def of(self, answer: Message) -> ComparisonQuerySet:
        """The one in which this is one of the two answers, if there is one."""
        return self.filter(Q(first=answer) | Q(second=answer))


class Comparison(models.Model):
    """Two answers to a question, side by side until a person chooses one of them, which deletes this.

    Until then the branch through the question ends there.
    """

    question = models.OneToOneField(Message, on_delete=models.DB_CASCADE, primary_key=True, related_name="comparison")
    first = models.OneToOneField(Message, on_delete=models.DB_CASCADE, related_name="+")
    second = models.OneToOneField(Message, on_delete=models.DB_CASCADE, related_name="+")

    objects = ComparisonQuerySet.as_manager()

    def __str__(self) -> str:
        return f"comparison {self.pk}"

    def replace(self, answer: Message, by: Message) -> None:
        """Compare another answer instead of this one."""
        if self.first_id == answer.pk:
            self.first = by
        else:
            self.second = by
        self.save()
