"""Why a reviewer reads. Where CHAT_READ_REASON says so, it is asked before the first text, and kept for an hour."""

import time
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext_lazy as _

# In the session: the reason, and until when it holds.
KEY = "read_reason"
SECONDS = 60 * 60


class ReasonForm(forms.Form):
    reason = forms.CharField(
        label=_("Why do you need to read conversations?"),
        help_text=_("The audit record keeps it with everything that you read in the next hour."),
        max_length=500,
        widget=forms.Textarea(attrs={"rows": 3, "class": "vLargeTextField"}),
        error_messages={"required": _("Write a reason first.")},
    )


def reason_of(request: HttpRequest) -> str:
    """The reason that holds, if there is one."""
    text, until = request.session.get(KEY, ("", 0))
    return str(text) if settings.CHAT_READ_REASON and time.time() < until else ""


def is_missing(request: HttpRequest) -> bool:
    return settings.CHAT_READ_REASON and not reason_of(request)


def ask_first(request: HttpRequest) -> HttpResponse:
    """Lead to the question, and from there back to this page."""
    query = urlencode({"next": request.get_full_path()})
    return HttpResponseRedirect(f"{reverse('admin:chat_conversation_reason')}?{query}")


def ask(request: HttpRequest) -> HttpResponse:
    """The page with the question."""
    index = reverse("admin:index")
    following = request.GET.get("next", "")
    form = ReasonForm(request.POST if request.method == "POST" else None, initial={"reason": reason_of(request)})
    if form.is_valid():
        request.session[KEY] = (form.cleaned_data["reason"], time.time() + SECONDS)
        return HttpResponseRedirect(following if following.startswith(index) else index)
    context: dict[str, Any] = {**admin.site.each_context(request), "title": _("A reason to read"), "form": form}
    status = 422 if form.errors else 200
    return TemplateResponse(request, "admin/chat/conversation/reason.html", context, status=status)
