"""The marks of a queue: the form in which a reviewer gives them, and how far those of several agree."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from time import time
from typing import Any, cast
from uuid import UUID

from django import forms
from django.http import HttpRequest
from django.utils.translation import gettext, ngettext

from chat import rubric
from chat.admin.numbers import between
from chat.admin.review import may_review
from chat.forms import grouped
from chat.models import Conversation, Marking, Message, ReviewQueue, User, tree
from chat.models.conversations import LONGEST_BRANCH
from chat.models.queues import MOST_LEFT
from chat.rubric import Criterion

CORRECTION_CHARS = 100_000
# Begins the names of the fields of criteria.
PREFIX = "mark-"
# The agreement in a queue is that of so many marks: its list is to be quick.
AGREEMENT_OF = 2000


class AnswerChangedError(Exception):
    """The answer that a better one is about is not there as the reviewer saw it."""


class MarkForm(forms.Form):
    """A field for each criterion, and a better answer."""

    # What the reviewer had on screen when: the end of the branch, and the answer that they have chosen there.
    leaf = forms.UUIDField(required=False, widget=forms.HiddenInput)
    about = forms.UUIDField(required=False, widget=forms.HiddenInput)
    opened = forms.FloatField(required=False, widget=forms.HiddenInput, initial=time)

    def __init__(self, criteria: list[Criterion], data: Any = None) -> None:
        super().__init__(data, auto_id="mark_%s", label_suffix="")
        # By what it asks, not by its place: the rubric may change while somebody has the form open.
        self.criteria = {f"{PREFIX}{criterion.key}": criterion for criterion in criteria}
        self.fields |= {name: _field(criterion) for name, criterion in self.criteria.items()}
        self.fields["correction"] = forms.CharField(
            label=gettext("A better answer"),
            help_text=gettext("Instead of the last one, or of another one that you choose in the transcript."),
            required=False,
            max_length=CORRECTION_CHARS,
            widget=forms.Textarea(attrs={"rows": 2, "dir": "auto"}),
        )

    @property
    def marks(self) -> dict[str, str]:
        named = ((criterion.name, self.cleaned_data[name]) for name, criterion in self.criteria.items())
        return {name: str(value) for name, value in named if value not in (None, "")}

    def clean(self) -> dict[str, Any]:
        """Refuse marks by criteria that the rubric no longer has."""
        if of_others := self._of_others(self.data):
            sentence = gettext(
                "The rubric has changed since you opened it. Mark by this one. You had written: %(marks)s"
            )
            raise forms.ValidationError(sentence % {"marks": "; ".join(of_others)})
        return self.cleaned_data

    def _of_others(self, sent: Mapping[str, str]) -> list[str]:
        """The marks by criteria that the rubric no longer has."""
        return [mark for name, mark in sent.items() if name.startswith(PREFIX) and name not in self.criteria]

    def give_back(self, sent: Mapping[str, str]) -> None:
        """Show all that the reviewer has sent. The form stays unbound: there is nothing to correct."""
        self.initial = dict(sent)
        if written := "\n\n".join(filter(None, self._of_others(sent))):
            box = forms.Textarea(attrs={"rows": 2, "dir": "auto", "readonly": True})
            self.fields = {"written": forms.CharField(label=gettext("You had written"), widget=box), **self.fields}
            self.initial["written"] = written

    def judged(self, conversation: Conversation) -> Message | None:
        """The end of the branch that the reviewer saw."""
        return conversation.messages.filter(pk=self.cleaned_data["leaf"]).first()

    def corrected(self, conversation: Conversation, leaf: Message | None) -> tuple[Message | None, str]:
        """The answer of this branch that the better one is about, and the better one; None and "" without one.

        Raises AnswerChangedError.
        """
        correction: str = self.cleaned_data["correction"]
        if not correction:
            return None, ""
        branch, about = tree.path(leaf.pk, LONGEST_BRANCH) if leaf else [], self.cleaned_data["about"]
        # Below the last answer there may be a question.
        sought = branch[:2] if about is None else {about} & set(branch)
        answers = conversation.messages.filter(pk__in=sought, role=Message.Role.ASSISTANT).select_related("reply")
        answer = answers.order_by("created", "pk").last()
        if answer is None or answer.reply.is_running or self._ended_since(answer):
            raise AnswerChangedError
        # Whoever begins with its words and leaves it at that has corrected nothing. Browsers change the line ends.
        is_same = correction.splitlines() == answer.text.strip().splitlines()
        return (None, "") if is_same else (answer, correction)

    def _ended_since(self, answer: Message) -> bool:
        """Whether it was still being written when the reviewer opened it, or has been continued since."""
        ended = answer.reply.ended
        return ended is not None and ended.timestamp() > (self.cleaned_data["opened"] or 0)

    def open_again(self) -> None:
        """Take it that the reviewer sees the answer as it is now."""
        # Not `{**self.data}`, which would have a list of values for each name.
        self.data = {name: self.data[name] for name in self.data} | {"opened": str(time())}


def _field(criterion: Criterion) -> forms.Field:
    if criterion.choices:
        choices = [(choice, choice) for choice in criterion.choices]
        missing = {"required": gettext("Choose one of these.")}
        return forms.ChoiceField(
            label=criterion.name, choices=choices, widget=forms.RadioSelect, error_messages=missing
        )
    if criterion.least is not None and criterion.most is not None:
        span = {"least": criterion.least, "most": criterion.most}
        return forms.IntegerField(
            label=gettext("%(name)s (%(least)d to %(most)d)") % {"name": criterion.name, **span},
            min_value=criterion.least,
            max_value=criterion.most,
            error_messages=between(criterion.least, criterion.most),
        )
    text = forms.Textarea(attrs={"rows": 2, "dir": "auto"})
    return forms.CharField(label=criterion.name, max_length=rubric.TEXT_CHARS, required=False, widget=text)


@dataclass(frozen=True, slots=True)
class Line:
    """What each reviewer says by one criterion, by their names, and how far they agree, in words."""

    name: str
    marks: list[tuple[str, str]]
    differs: bool
    agreement: str


@dataclass(frozen=True, slots=True)
class Correction:
    """A better answer by a reviewer, and the message that it is about."""

    by: str
    text: str
    about: UUID | None


@dataclass(frozen=True, slots=True)
class Given:
    """What reviewers have given to a conversation in one queue; those who did so first come first."""

    queue: ReviewQueue
    names: list[str]
    lines: list[Line]
    corrections: list[Correction]


def given(reviewer: User, conversation: Conversation) -> list[Given]:
    """What the reviewer may see, by the queues."""
    shown = Marking.objects.filter(conversation=conversation).shown_to(reviewer)
    by_queue: dict[ReviewQueue, list[Marking]] = defaultdict(list)
    for marking in shown.select_related("queue", "reviewer").order_by("queue__name", "done"):
        by_queue[marking.queue].append(marking)
    return [_given(queue, markings, reviewer) for queue, markings in by_queue.items()]


def _given(queue: ReviewQueue, markings: list[Marking], reviewer: User) -> Given:
    names = [_name(marking.reviewer, reviewer) for marking in markings]
    lines = [
        _line(criterion, names, [marking.marks.get(criterion.name, "") for marking in markings])
        for criterion in rubric.parse(queue.rubric)
    ]
    corrections = [
        Correction(name, marking.correction, marking.corrected_id)
        for name, marking in zip(names, markings, strict=True)
        if marking.correction
    ]
    return Given(queue, names, lines, corrections)


def _name(of: User | None, reviewer: User) -> str:
    return gettext("you") if of == reviewer else name_of(of)


def name_of(reviewer: User | None) -> str:
    return reviewer.get_username() if reviewer else gettext("a deleted account")


def _line(criterion: Criterion, names: list[str], marks: list[str]) -> Line:
    said = [mark for mark in marks if mark and criterion.reads(mark)]
    agreement = _agreement(criterion, said) if len(said) > 1 else ""
    return Line(criterion.name, list(zip(names, marks, strict=True)), len(set(said)) > 1, agreement)


def _agreement(criterion: Criterion, marks: list[str]) -> str:
    """Between two or more marks. Texts do not agree or differ."""
    if criterion.choices:
        found = rubric.agreement([marks])
        return gettext("%(share)s agree") % {"share": f"{found.share:.0%}"} if found else ""
    if criterion.least is None:
        return ""
    numbers = [int(mark) for mark in marks]
    distance = max(numbers) - min(numbers)
    return gettext("%(distance)d apart") % {"distance": distance} if distance else gettext("the same")


def marking_panel(request: HttpRequest, conversation: Conversation) -> dict[str, Any]:
    """What the page of a conversation shows of marks: those asked of the reviewer, and those that they may see."""
    if not may_review(request):
        return {}
    marking = Marking.objects.filter(conversation=conversation, reviewer=request.user.pk, done=None)
    mine = marking.select_related("queue").order_by("pk").first()
    form = MarkForm(rubric.parse(mine.queue.rubric)) if mine else None
    reviewer = cast("User", request.user)
    return {
        "marking": mine,
        "mark_form": form,
        "left": _left(mine.queue.left(reviewer)) if mine else "",
        "given": given(reviewer, conversation),
    }


def _left(count: int) -> str:
    if count > MOST_LEFT:
        return gettext("More than %(most)s marks are still to be given.") % {"most": grouped(MOST_LEFT)}
    words = ngettext("%(count)d mark is still to be given.", "%(count)d marks are still to be given.", count)
    return words % {"count": count}


def agreements(queue: ReviewQueue, reviewer: User) -> Iterator[str]:
    """How far reviewers agree on each choice and number, in words, among the latest marks that this one may see."""
    latest = queue.markings.known_to(reviewer).shown_to(reviewer).order_by("-conversation", "-place")
    done = latest.values_list("conversation", "marks")[:AGREEMENT_OF]
    given: dict[str, dict[UUID, list[str]]] = defaultdict(lambda: defaultdict(list))
    for conversation, marks in done:
        for name, mark in marks.items():
            given[name][conversation].append(mark)
    for criterion in rubric.parse(queue.rubric):
        marked = [list(filter(criterion.reads, marks)) for marks in given[criterion.name].values()]
        if words := _all_in_all(criterion, marked):
            yield f"{criterion.name}: {words}"


def _all_in_all(criterion: Criterion, marked: list[list[str]]) -> str:
    """How far the marks of each conversation agree."""
    if criterion.choices:
        found = rubric.agreement(marked)
        kappa = f", κ = {found.kappa:.2f}" if found and found.kappa is not None else ""
        return f"{found.share:.0%}{kappa}" if found else ""
    if criterion.least is None:
        return ""
    apart = rubric.distance([[int(mark) for mark in marks] for marks in marked])
    if apart is None:
        return ""
    words = gettext("%(share)s the same, %(mean).1f apart on average")
    return words % {"share": f"{apart.share:.0%}", "mean": apart.mean}
