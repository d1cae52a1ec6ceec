"""The page of a queue's rule: what is chosen, how much of it, and what it would have chosen lately."""

from collections.abc import Iterable
from typing import Any, cast

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.views.main import ORDER_VAR, SEARCH_VAR
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.text import capfirst
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from chat import audit
from chat.admin.filters import EVERY, Filter, OwnerFilter, PeriodFilter, TrashFilter
from chat.admin.numbers import between
from chat.models import AuditRecord, Conversation, QueueRule, ReviewLimit, ReviewQueue, SavedFilter, User
from chat.rules import PREVIEW, preview

# Conversations in the trash are in no rule.
CHOOSABLE = [kind for kind in EVERY if kind is not TrashFilter]
SHARE = 10
# What else can be in the address of the list, as people call it.
NOT_IN_RULES = {
    SEARCH_VAR: _("words that are searched for"),
    TrashFilter.parameter_name: TrashFilter.title,
    **dict.fromkeys(["updated__gte", "updated__lt", *PeriodFilter.names], PeriodFilter.title),
}


class RuleForm(forms.Form):
    """A share, and a field for each filter of the list of conversations, as the person may use it there."""

    share = forms.IntegerField(
        label=_("Share, in percent"),
        min_value=0,
        max_value=100,
        initial=SHARE,
        help_text=_("Of the new conversations that meet all conditions. 0 pauses the rule."),
        error_messages=between(0, 100),
    )

    def __init__(self, request: HttpRequest, data: Any = None) -> None:
        super().__init__(data, label_suffix="")
        self.person = cast("User", request.user)
        for kind in CHOOSABLE:
            self.fields[kind.parameter_name] = _owner_field() if kind is OwnerFilter else _field(kind, request)

    def clean_owner(self) -> str:
        name: str = self.cleaned_data["owner"]
        if name and not ReviewLimit.people_of(self.person).filter(username=name).exists():
            sentence = gettext("You see conversations of nobody called “%(name)s”. Write the whole name, or none.")
            raise forms.ValidationError(sentence % {"name": name})
        return name

    def rule(self, queue: ReviewQueue) -> QueueRule:
        """The rule of this form, which is valid, for the person of the request."""
        values = {kind.parameter_name: self.cleaned_data[kind.parameter_name] for kind in CHOOSABLE}
        conditions = {name: value for name, value in values.items() if value}
        return QueueRule(queue=queue, owner=self.person, share=self.cleaned_data["share"], conditions=conditions)


def _owner_field() -> forms.CharField:
    # static/js/names.js offers names.
    names = {"list": "names-owner", "data-names-url": reverse(OwnerFilter.names_url), "placeholder": _("Everybody")}
    widget = forms.TextInput(attrs={**names, "autocomplete": "off", "autocapitalize": "off", "spellcheck": "false"})
    return forms.CharField(label=capfirst(OwnerFilter.title), required=False, max_length=150, widget=widget)


def _field(kind: type[Filter], request: HttpRequest) -> forms.ChoiceField:
    offered = kind(request, {}, Conversation, cast("Any", None)).lookup_choices
    gone = _("“%(value)s” is not there to choose, or no longer. Choose another one, or “Any”.")
    return forms.ChoiceField(
        label=capfirst(kind.title),
        choices=[("", _("Any")), *offered],
        required=False,
        error_messages={"invalid_choice": gone},
    )


def may_rule(request: HttpRequest) -> bool:
    """Whether the person may set, change and remove rules of queues."""
    return request.user.has_perms(["chat.change_reviewqueue", "chat.view_conversation", "chat.read_conversation"])


def page(request: HttpRequest, queue: ReviewQueue) -> HttpResponse:
    """Show the rule, or one with the filters of the address; try, save or remove it."""
    if not may_rule(request):
        raise PermissionDenied
    # A filter offers what its address names, also a group that the person may not know of.
    asked, request.GET = request.GET, QueryDict()
    known = QueueRule.objects.select_related("owner").filter(queue=queue).first()
    if request.method == "POST":
        form = RuleForm(request, request.POST)
    elif asked:
        form = RuleForm(request, {"share": known.share if known else SHARE, **asked.dict()})
    else:
        form = RuleForm(request, {"share": known.share, **known.conditions} if known else None)
    press = request.POST.get("press")
    if press == "remove" and known:
        _remove(request, known)
        return _done(request, gettext("The rule was removed. What it has put into the queue stays there."))
    if press == "save" and form.is_valid():
        _save(request, rule := form.rule(queue))
        sentence = gettext("From now on, %(share)d%% of the new conversations of this kind come into “%(name)s”.")
        return _done(request, sentence % {"share": rule.share, "name": queue.name})
    context = {
        **admin.site.each_context(request),
        "title": gettext("Rule of “%(name)s”") % {"name": queue.name},
        "queue": queue,
        "rule": known,
        "form": form,
        "left_out": _left_out(asked.keys() - form.fields.keys()),
        "preview": preview(form.rule(queue)) if form.is_valid() else None,
        "days": PREVIEW.days,
        "saved_filters": SavedFilter.objects.for_user(request.user).order_by("name"),
        "opts": ReviewQueue._meta,
    }
    return TemplateResponse(request, "admin/chat/review/rule.html", context, status=422 if form.errors else 200)


def _left_out(names: Iterable[str]) -> list[str]:
    return sorted({str(NOT_IN_RULES.get(name, name)) for name in names if name != ORDER_VAR})


@transaction.atomic
def _save(request: HttpRequest, rule: QueueRule) -> None:
    """Whoever saves a rule becomes its owner: it chooses among what they may read."""
    fields = {"owner": rule.owner, "share": rule.share, "conditions": rule.conditions, "since": timezone.now()}
    QueueRule.objects.update_or_create(queue=rule.queue, defaults=fields)
    audit.record(AuditRecord.Action.RULE, request, detail=f"queue {rule.queue}: +{rule.summary}")


@transaction.atomic
def _remove(request: HttpRequest, rule: QueueRule) -> None:
    if QueueRule.objects.filter(pk=rule.pk).delete()[0]:
        audit.record(AuditRecord.Action.RULE, request, detail=f"queue {rule.queue}: -{rule.summary}")


def _done(request: HttpRequest, sentence: str) -> HttpResponse:
    messages.success(request, sentence)
    return HttpResponseRedirect(reverse("admin:chat_reviewqueue_changelist"))
