"""Reviewing a conversation: its state, who does it, and labels. Forms of its page in the admin come here."""

from typing import Any, cast
from uuid import UUID

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.decorators import method_decorator
from django.utils.html import format_html
from django.utils.http import urlencode
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST

from chat.admin.lookups import NamedLookups
from chat.admin.reading import may_read
from chat.database import retry_on_deadlock
from chat.forms import NameField
from chat.models import Conversation, Review, ReviewLabel, ReviewLabelError, User

REVIEW = "chat.review_conversation"
State = Review.State


def may_review(request: HttpRequest) -> bool:
    """Whether the person may change the review of a conversation that they see."""
    return may_read(request) and request.user.has_perm(REVIEW)


def reviewers() -> QuerySet[User]:
    """Who can be given a conversation to review."""
    allowed = User.objects.with_perm(REVIEW, backend="django.contrib.auth.backends.ModelBackend")
    return allowed.filter(is_staff=True).order_by("username")


class LabelsField(forms.CharField):
    """Names of labels between commas."""

    def clean(self, value: Any) -> list[str]:
        name = NameField()
        return [name.clean(part) for part in super().clean(value).split(",") if part.strip()]


class ReviewForm(forms.Form):
    """The review as it is to be, if it is still at the version that the reviewer has seen."""

    version = forms.IntegerField(min_value=0, widget=forms.HiddenInput)
    state = forms.ChoiceField(label=_("State"), choices=State)
    assignee = forms.ModelChoiceField(
        label=_("Reviewer"), queryset=User.objects.none(), required=False, empty_label=_("Nobody")
    )
    labels = LabelsField(label=_("Labels"), required=False)

    def __init__(self, review: Review, data: Any = None) -> None:
        now = {"version": review.version, "state": review.state, "assignee": review.assignee}
        super().__init__(data, initial={**now, "labels": ", ".join(review.label_names)}, label_suffix="")
        # Whoever has it keeps it, even without the permission since.
        who = User.objects.filter(Q(pk__in=reviewers().values("pk")) | Q(pk=review.assignee_id))
        self.fields["assignee"].queryset = who.order_by("username")  # type: ignore[attr-defined]
        self.fields["labels"].widget.attrs = {"placeholder": gettext("Between commas"), "autocomplete": "off"}


def panel(request: HttpRequest, conversation: Conversation) -> dict[str, Any]:
    """What the page of a conversation shows of its review, and the form if the person may review."""
    review = Review.objects.of(conversation)
    return {
        "review": review,
        "review_labels": review.label_names if may_read(request) else [],
        "review_form": ReviewForm(review) if may_review(request) else None,
    }


@admin.register(Review)
class ReviewAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # It takes none at run time.
    """Has no pages of lists: the list of conversations is one of reviews too."""

    def get_urls(self) -> list[URLPattern]:
        return [path("<uuid:pk>/", self.admin_site.admin_view(self.change), name="chat_review_save")]

    def has_module_permission(self, request: HttpRequest) -> bool:
        return False

    @method_decorator(require_POST)
    def change(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        """Change a review; whoever has seen an older one gets the form again, with what they wrote."""
        conversation = seen_conversation(request, pk)
        review = Review.objects.of(conversation)
        form = ReviewForm(review, pressed(request))
        if not form.is_valid():
            return again(request, conversation, form, 422)
        try:
            if not self.store(pk, request, **form.cleaned_data):
                return again(request, conversation, form, 409)
        except ReviewLabelError as error:
            form.add_error("labels", too_many(error))
            return again(request, conversation, form, 422)
        return HttpResponseRedirect(f"{reverse('admin:chat_conversation_change', args=[pk])}{came_from(request)}")

    @retry_on_deadlock
    def store(self, pk: UUID, request: HttpRequest, *, version: int, **fields: Any) -> bool:
        return Review.objects.change(pk, version, cast("User", request.user), **fields)


def seen_conversation(request: HttpRequest, pk: UUID) -> Conversation:
    """What the reviewer sees by this id. Raises PermissionDenied for people who may not review."""
    if not may_review(request):
        raise PermissionDenied
    return get_object_or_404(Conversation.objects.for_reviewer(cast("User", request.user)), pk=pk)


def came_from(request: HttpRequest) -> str:
    """The query of the page whose form this is, which says where in the transcript the reviewer was."""
    query = request.POST.get("query", "")
    return f"?{query}" if query else ""


def pressed(request: HttpRequest) -> dict[str, Any]:
    """The fields, as the button that was pressed would have them."""
    data = request.POST.dict()
    match data.get("press"):
        case "take":
            data |= {"state": State.IN_REVIEW, "assignee": str(request.user.pk)}
        case "done":
            data |= {"state": State.DONE}
    return data


def too_many(error: ReviewLabelError) -> str:
    if error.is_here:
        sentence = gettext("A conversation can have %(most)d labels. Take some away.")
    else:
        sentence = gettext("There are %(most)d labels, which is the limit. Use one of them.")
    return sentence % {"most": error.most}


def again(request: HttpRequest, conversation: Conversation, form: ReviewForm, status: int) -> HttpResponse:
    """The form on a page of its own, with what is wrong, or with what somebody else has made of the review."""
    review = Review.objects.of(conversation)
    form.data = {**form.data, "version": str(review.version)}
    context = {
        **admin.site.each_context(request),
        "title": gettext("Review"),
        "original": conversation,
        "opts": Conversation._meta,
        "review": review,
        "review_labels": review.label_names,
        "review_form": form,
        "is_late": status == 409,
        "query": request.POST.get("query", ""),
    }
    return TemplateResponse(request, "admin/chat/review/again.html", context, status=status)


@admin.register(ReviewLabel)
class ReviewLabelAdmin(NamedLookups, admin.ModelAdmin):  # type: ignore[type-arg]  # It takes none at run time.
    """Labels are made where they are given. Here they are deleted, from all conversations.

    Each reviewer finds those that they may know of.
    """

    list_display = ["name", "given"]
    ordering = ["key"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[ReviewLabel]:
        return ReviewLabel.objects.for_reviewer(cast("User", request.user))

    @admin.display(description=_("given to"))
    def given(self, label: ReviewLabel) -> SafeString:
        address = f"{reverse('admin:chat_conversation_changelist')}?{urlencode({'label': label.name})}"
        return format_html('<a href="{}">{}</a>', address, gettext("Conversations"))

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: ReviewLabel | None = None) -> bool:
        return False
