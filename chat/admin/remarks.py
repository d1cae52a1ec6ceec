"""Notes and flags of reviewers, beside the messages that they are about."""

from collections.abc import Iterable
from typing import Any, cast
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.decorators import method_decorator
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST

from chat.admin.reading import may_read
from chat.admin.review import came_from, may_review, seen_conversation
from chat.database import retry_on_deadlock
from chat.forms import ReasonField
from chat.models import Conversation, Message, Remark, TooManyRemarks, User

Kind = Remark.Kind


class RemarkForm(forms.Form):
    """A note or a flag; without a message it is about the whole conversation."""

    message = forms.UUIDField(required=False, widget=forms.HiddenInput)
    kind = forms.ChoiceField(choices=[(Kind.NOTE.value, Kind.NOTE.label), (Kind.FLAG.value, Kind.FLAG.label)])
    text = ReasonField(label=_("Note, or the reason for a flag"), error_messages={"required": _("Write a text first.")})


def show_remarks(request: HttpRequest, conversation: Conversation, shown: Iterable[Message]) -> dict[str, Any]:
    """Set the `remarks_shown` of messages; returns those about the whole conversation. They are for who may read."""
    remarks = Remark.objects.by_message(conversation) if may_read(request) else {}
    for message in shown:
        message.remarks_shown = remarks.get(message.pk, [])
    return {"remarks": remarks.get(None, []), "may_review": may_review(request)}


@admin.register(Remark)
class RemarkAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # It takes none at run time.
    """Has no pages of its own: remarks are on those of conversations."""

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path("<uuid:pk>/add/", view(self.add), name="chat_remark_new"),
            path("<uuid:pk>/<uuid:remark>/settle/", view(self.settle), name="chat_remark_settle"),
            path("<uuid:pk>/<uuid:remark>/delete/", view(self.delete), name="chat_remark_remove"),
        ]

    def has_module_permission(self, request: HttpRequest) -> bool:
        return False

    @method_decorator(require_POST)
    def add(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        conversation = seen_conversation(request, pk)
        form = RemarkForm(request.POST)
        if not form.is_valid():
            return again(request, conversation, form)
        about = form.cleaned_data["message"]
        message = get_object_or_404(conversation.messages, pk=about) if about else None
        try:
            remark = self.store(pk, message, request, form.cleaned_data["kind"], form.cleaned_data["text"])
        except TooManyRemarks:
            form.add_error("text", gettext("There are too many notes and flags here. Delete some of yours first."))
            return again(request, conversation, form)
        return back(request, pk, f"remark-{remark.pk}")

    @retry_on_deadlock
    def store(self, pk: UUID, message: Message | None, request: HttpRequest, kind: str, text: str) -> Remark:
        return Remark.objects.add(pk, message, cast("User", request.user), kind, text)

    @method_decorator(require_POST)
    def settle(self, request: HttpRequest, pk: UUID, remark: UUID) -> HttpResponse:
        """Say that what a flag or a report asks for is done."""
        seen_conversation(request, pk)
        get_object_or_404(Remark, conversation=pk, pk=remark)
        if not Remark.objects.filter(pk=remark).settle(cast("User", request.user)):
            self.message_user(request, gettext("Somebody else has settled this already."), messages.WARNING)
        return back(request, pk, f"remark-{remark}")

    @method_decorator(require_POST)
    def delete(self, request: HttpRequest, pk: UUID, remark: UUID) -> HttpResponse:
        """Take back a note or flag of one's own."""
        seen_conversation(request, pk)
        own = Remark.objects.filter(by=request.user.pk).exclude(kind=Kind.REPORT)
        found = get_object_or_404(own, conversation=pk, pk=remark)
        found.delete()
        return back(request, pk, f"remarks-{found.message_id or pk}")


def back(request: HttpRequest, pk: UUID, place: str) -> HttpResponse:
    """Lead back to this place of the transcript, which may be far below the head of a long message."""
    return HttpResponseRedirect(f"{reverse('admin:chat_conversation_change', args=[pk])}{came_from(request)}#{place}")


def again(request: HttpRequest, conversation: Conversation, form: RemarkForm) -> HttpResponse:
    """The form on a page of its own, with what is wrong."""
    context = {
        **admin.site.each_context(request),
        "title": gettext("Note or flag"),
        "original": conversation,
        "opts": Conversation._meta,
        "remark_form": form,
        "query": request.POST.get("query", ""),
    }
    return TemplateResponse(request, "admin/chat/review/remark_again.html", context, status=422)
