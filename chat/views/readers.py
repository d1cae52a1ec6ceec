"""Who has read a person's conversations, for that person, where CHAT_SHOW_READERS says so."""

from typing import Any
from uuid import UUID

from django.conf import settings
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_GET

from chat.database import in_thread
from chat.models import AuditRecord, Conversation
from chat.views.problems import SignedInRequest, queued_per_person, signed_in

Action = AuditRecord.Action
# So many readings on a page.
SHOWN = 50


@require_GET
@signed_in
@queued_per_person
async def readers(request: SignedInRequest) -> HttpResponse:
    """The readings of all of their conversations, the newest first."""
    return await _page(request, None)


@require_GET
@signed_in
@queued_per_person
async def conversation_readers(request: SignedInRequest, pk: UUID) -> HttpResponse:
    """The readings of one of them."""
    return await _page(request, pk)


async def _page(request: SignedInRequest, pk: UUID | None) -> HttpResponse:
    if not settings.CHAT_SHOW_READERS:
        raise Http404

    def rendered() -> HttpResponse:
        return render(request, "chat/readers.html", _context(request, pk))

    return await in_thread(rendered)()


def _context(request: SignedInRequest, pk: UUID | None) -> dict[str, Any]:
    theirs = Conversation.objects.filter(owner=request.user)
    read = AuditRecord.objects.read_of(request.user)
    about = get_object_or_404(Conversation.objects.for_user(request.user), pk=pk) if pk else None
    if about:
        read = read.filter(conversation=about.pk)
    before = request.GET.get("before", "")
    if before.isascii() and before.isdecimal() and len(before) <= 18:
        read = read.filter(number__lt=int(before))
    rows = list(read.order_by("-number")[: SHOWN + 1])
    shown = rows[:SHOWN]
    # Conversations that are deleted have no titles any more.
    titles = theirs.in_bulk({row.conversation for row in shown if row.conversation})
    readings = [(row, titles.get(row.conversation)) for row in shown]
    return {"about": about, "readings": readings, "older": shown[-1].number if len(rows) > SHOWN else None}
