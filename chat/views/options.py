"""What a person does with a conversation as a whole: rename, pin, archive; and the archive."""

from typing import Any
from uuid import UUID

from django.core.paginator import Paginator
from django.http import HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_GET

from chat.database import in_thread, retry_on_deadlock
from chat.forms import OptionsForm
from chat.models import Conversation
from chat.views.pages import SeeOther, fields, form_methods, get_conversation
from chat.views.problems import Refusal, SignedInRequest, queued_per_person, signed_in, wants_json

# A page of the archive shows this many conversations.
SHOWN = 50


@form_methods
@signed_in
async def options(request: SignedInRequest, pk: UUID) -> HttpResponse:
    """A page with all that can be done with a conversation; sets what is sent."""
    conversation = await get_conversation(request, pk)
    if request.method == "GET":
        return await _page(request, conversation, OptionsForm(initial={"title": conversation.title}))
    form = OptionsForm(fields(request))
    if not form.is_valid():
        if wants_json(request):
            raise Refusal(422, "bad_options", str(next(iter(form.errors.values()))[0]))
        return await _page(request, conversation, form, 422)
    await in_thread(retry_on_deadlock(conversation.set_options))(**form.changes)
    if wants_json(request):
        return JsonResponse({name: getattr(conversation, name) for name in form.fields})
    return SeeOther(reverse("archive") if "archived" in form.changes else conversation.get_absolute_url())


@require_GET
@signed_in
@queued_per_person
async def archive(request: SignedInRequest) -> HttpResponse:
    """The conversations that are in the archive."""

    def rendered() -> HttpResponse:
        archived = Conversation.objects.for_user(request.user).filter(archived=True).order_by("-updated", "-pk")
        shown = Paginator(archived.only("title", "updated"), SHOWN).get_page(request.GET.get("page"))
        return render(request, "chat/archive.html", {"shown": shown})

    return await in_thread(rendered)()


async def _page(
    request: SignedInRequest, conversation: Conversation, form: OptionsForm, status: int = 200
) -> HttpResponse:
    context: dict[str, Any] = {"conversation": conversation, "form": form}
    return await in_thread(render)(request, "chat/options.html", context, status=status)
