"""The marks of a queue: the form in which a reviewer gives them, and how far those of several agree."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any
from uuid import UUID

from django import forms
from django.http import HttpRequest
from django.utils.translation import gettext

from chat import rubric
from chat.admin.review import may_review
from chat.models import Conversation, Marking, ReviewQueue
from chat.rubric import Criterion

CORRECTION_CHARS = 100_000


class MarkForm(forms.Form):
    """A field for each criterion, and a better answer."""

    def __init__(self, criteria: list[Criterion], data: Any = None) -> None:
        super().__init__(data, auto_id="mark_%s", label_suffix="")
        self.criteria = criteria
        for index, criterion in enumerate(criteria):
            self.fields[f"c{index}"] = _field(criterion)
        self.fields["correction"] = forms.CharField(
            label=gettext("A better answer"),
            help_text=gettext("Instead of the last one, if that should be another."),
            required=False,
            max_length=CORRECTION_CHARS,
            widget=forms.Textarea(attrs={"rows": 2, "dir": "auto"}),
        )

    @property
    def marks(self) -> dict[str, str]:
        named = ((criterion.name, self.cleaned_data[f"c{index}"]) for index, criterion in enumerate(self.criteria))
        return {name: str(value) for name, value in named if value not in (None, "")}


def _field(criterion: Criterion) -> forms.Field:
    if criterion.choices:
        choices = [(choice, choice) for choice in criterion.choices]
        return forms.ChoiceField(label=criterion.name, choices=choices, widget=forms.RadioSelect)
    if criterion.least is not None:
        return forms.IntegerField(label=criterion.name, min_value=criterion.least, max_value=criterion.most)
    text = forms.Textarea(attrs={"rows": 2, "dir": "auto"})
    return forms.CharField(label=criterion.name, max_length=rubric.TEXT_CHARS, required=False, widget=text)


def marking_panel(request: HttpRequest, conversation: Conversation) -> dict[str, Any]:
    """What the page of a conversation shows of the marks that queues ask of the reviewer."""
    if not may_review(request):
        return {}
    marking = Marking.objects.filter(conversation=conversation, reviewer=request.user.pk, done=None)
    mine = marking.select_related("queue").order_by("pk").first()
    form = MarkForm(rubric.parse(mine.queue.rubric)) if mine else None
    return {"marking": mine, "mark_form": form}


def agreements(queue: ReviewQueue) -> Iterator[str]:
    done = queue.markings.exclude(done=None).values_list("conversation", "marks")
    given: dict[str, dict[UUID, list[str]]] = defaultdict(lambda: defaultdict(list))
    for conversation, marks in done.iterator():
        for name, mark in marks.items():
            given[name][conversation].append(mark)
    for criterion in rubric.parse(queue.rubric):
        found = rubric.agreement(given[criterion.name].values()) if criterion.choices else None
        if found:
            kappa = f", κ = {found.kappa:.2f}" if found.kappa is not None else ""
            yield f"{criterion.name}: {found.share:.0%}{kappa}"
