"""A person's conversations: their pages, their branches, and the sidebar that lists them."""

from uuid import UUID

from django.http import Http404, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils.translation import gettext
from django.views.decorators.http import require_GET

from chat.database import in_thread, retry_on_deadlock
from chat.models import Conversation, Draft
from chat.views import pages
from chat.views.history import history as batch
from chat.views.pages import SeeOther, form_methods, get_conversation, page, question_form, with_transcript
from chat.views.problems import SignedInRequest, problem, queued_per_person, signed_in, wants_json


@require_GET
@signed_in
@queued_per_person
async def new_conversation(request: SignedInRequest) -> HttpResponse:
    return await _page(request, None)


@require_GET
@signed_in
@queued_per_person
async def conversation(request: SignedInRequest, pk: UUID) -> HttpResponse:
    return await _page(request, await get_conversation(request, pk))


@require_GET
@signed_in
async def transcript(request: SignedInRequest, pk: UUID) -> HttpResponse:
    """The messages on screen."""
    return await pages.transcript_page(request, pk)


@form_methods
@signed_in
@with_transcript
async def show_branch(request: SignedInRequest, pk: UUID) -> HttpResponse:
    """Show the branch through another answer to the same question, or another question after the same answer."""
    conversation = await get_conversation(request, pk)
    if request.method == "GET":
        return SeeOther(conversation.get_absolute_url())
    message = await in_thread(conversation.message)(request.POST.get("message", ""))
    if message is None:
        return problem(request, 422, "unknown_message", gettext("This answer no longer exists. Reload the page."))
    await in_thread(conversation.show)(message)
    if wants_json(request):
        return JsonResponse({"leaf": str(conversation.leaf_id)})
    # From a hit on another branch, the search goes on there.
    search = {name: request.POST[name] for name in ("find", "hit") if name in request.POST}
    return SeeOther(await in_thread(pages.place)(conversation, message, search))


@form_methods
@signed_in
async def seen(request: SignedInRequest, pk: UUID) -> HttpResponse:
    """Note that the person has seen how the last reply ended. A page without scripts says so by asking for an image."""
    conversation = await get_conversation(request, pk)
    await in_thread(retry_on_deadlock(conversation.see))()
    return JsonResponse({}) if wants_json(request) else HttpResponse(status=204)


@require_GET
@signed_in
@queued_per_person
async def history(request: SignedInRequest) -> HttpResponse:
    """A batch of the sidebar as a fragment of a page: the newest, or what follows a cursor."""

    def fragment() -> HttpResponse:
        history = batch(request)
        if request.GET.get("label") and not history["label"]:
            raise Http404
        return render(request, "chat/_history.html", {"history": history, "is_renewal": "before" not in request.GET})

    return await in_thread(fragment)()


async def _page(request: SignedInRequest, conversation: Conversation | None) -> HttpResponse:
    """With what the person has begun to write there."""
    pk, model = (conversation.pk, conversation.model) if conversation else (None, "")
    draft = await in_thread(Draft.objects.of)(request.user.pk, pk)
    form = question_form(request, model=model, text=draft.text if draft else "")
    return await page(request, conversation, form, draft=draft)
