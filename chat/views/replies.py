"""One reply: its events, its stop, and its message as the server renders it."""

import asyncio
from uuid import UUID

from django.http import HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import render
from django.utils.translation import gettext
from django.views.decorators.http import require_GET

from chat.database import in_thread
from chat.forms import FeedbackForm
from chat.live import read_live
from chat.models import Message, Reply
from chat.process import Process
from chat.views.admission import stop_reply
from chat.views.pages import SeeOther, fields, form_methods, get_reply, question_form, with_transcript
from chat.views.problems import Refusal, SignedInRequest, problem, queued_per_person, signed_in, wants_json
from chat.views.stream import event_stream, number


@require_GET
@signed_in
@queued_per_person
async def reply(request: SignedInRequest, pk: UUID) -> HttpResponse:
    """The reply's message as a fragment of a page."""
    reply = await get_reply(request, pk)
    process = Process.of(request)
    await read_live(process.log, [reply.message])
    await process.rendering.show([reply.message])
    return await in_thread(_render_message)(request, reply.message)


@require_GET
@signed_in
async def reply_events(request: SignedInRequest, pk: UUID) -> HttpResponseBase:
    """The reply's events after `Last-Event-ID`, else `after`, from its log and as they come."""
    Process.of(request).shares.check_streams(request.user)
    reply = await get_reply(request, pk)
    after = request.headers.get("Last-Event-ID") or request.GET.get("after") or "0"
    try:
        return event_stream(request, reply, number(after))
    except ValueError:
        return problem(request, 400, "bad_after", gettext("`after` must be a number. Reload the page."))


@form_methods
@signed_in
async def stop(request: SignedInRequest, pk: UUID) -> HttpResponse:
    """Answer once the reply has ended, and so has `also`, the one beside it."""
    reply = await get_reply(request, pk)
    if request.method == "GET":
        return SeeOther(reply.message.get_absolute_url())
    stops = [stop_reply(request, reply.pk)]
    if also := await in_thread(reply.message.conversation.message)(request.POST.get("also", "")):
        stops.append(stop_reply(request, also.pk))
    # What fails for one of them must not keep the other.
    for failure in await asyncio.gather(*stops, return_exceptions=True):
        if failure:
            raise failure
    if not wants_json(request):
        return SeeOther(reply.message.get_absolute_url())
    await reply.arefresh_from_db(fields=["status"])
    return JsonResponse({"status": reply.status})


@form_methods
@signed_in
@with_transcript
async def feedback(request: SignedInRequest, pk: UUID) -> HttpResponse:
    """Keep what the person thinks of an answer, with the reason if there is one."""
    reply = await get_reply(request, pk)
    place = reply.message.get_absolute_url()
    if request.method == "GET":
        return SeeOther(place)
    form = FeedbackForm(fields(request))
    if refusal := _refusal(reply, form):
        if wants_json(request) or not form["reason"].value():
            raise refusal
        context = {"reply": reply, "form": form, "message": refusal.message}
        return await in_thread(render)(request, "chat/feedback.html", context, status=refusal.status)
    await in_thread(reply.judge)(form.cleaned_data["verdict"], form.cleaned_data["reason"])
    return JsonResponse({"verdict": reply.feedback}) if wants_json(request) else SeeOther(place)


def _refusal(reply: Reply, form: FeedbackForm) -> Refusal | None:
    """Why this cannot be kept, if it cannot."""
    if not form.is_valid():
        return Refusal(422, "bad_feedback", form.message)
    if reply.is_running:
        return Refusal(409, "reply_running", gettext("This answer is still being written. Wait for its end."))
    return None


def _render_message(request: SignedInRequest, message: Message) -> HttpResponse:
    message.conversation.find_siblings([message])
    context = {"message": message, "form": question_form(request, model=message.conversation.model)}
    return render(request, "chat/_message.html", context)
