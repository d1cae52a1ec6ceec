"""Reporting an answer to the administrators."""

from typing import Any
from uuid import UUID

from django.http import Http404, HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext

from chat.database import in_thread, retry_on_deadlock
from chat.forms import ReportForm
from chat.models import Conversation, Remark, TooManyRemarks
from chat.models.remarks import MOST_REPORTS
from chat.views.pages import SeeOther, fields, form_methods, get_reply
from chat.views.problems import Refusal, SignedInRequest, complaints, signed_in, wants_json


@form_methods
@signed_in
async def report(request: SignedInRequest, pk: UUID) -> HttpResponse:
    """The form, and once the answer is reported what has become of that."""
    reply = await get_reply(request, pk)
    if reply.is_running:
        raise Refusal(409, "reply_running", gettext("This answer is still being written. Wait for its end."))
    form = ReportForm(fields(request) if request.method == "POST" else None)
    if form.is_bound and form.is_valid():
        try:
            await in_thread(retry_on_deadlock(Remark.objects.report))(
                reply.message, request.user, form.cleaned_data["reason"]
            )
        except TooManyRemarks:
            sentence = gettext(
                "You have reported %(most)d answers within a day, which is the limit. Try again tomorrow."
            )
            form.add_error("reason", sentence % {"most": MOST_REPORTS})
        except Conversation.DoesNotExist:
            raise Http404 from None
        else:
            return JsonResponse({}) if wants_json(request) else SeeOther(reverse("report", args=[pk]))
    if form.errors and wants_json(request):
        return complaints(form)
    return await _page(request, {"reply": reply, "form": form}, 422 if form.errors else 200)


@in_thread
def _page(request: SignedInRequest, context: dict[str, Any], status: int) -> HttpResponse:
    message = context["reply"].message
    context |= {"conversation": message.conversation, "report": Remark.objects.report_of(message, request.user)}
    return render(request, "chat/report.html", context, status=status)
