"""A conversation as a whole: downloads, a page to print, and a page to read what is in the trash."""

import re
from collections.abc import AsyncIterator
from itertools import batched
from uuid import UUID

from django.http import Http404, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import aget_object_or_404
from django.template.loader import render_to_string
from django.utils.html import format_html
from django.utils.http import content_disposition_header
from django.views.decorators.http import require_GET

from chat.database import in_thread
from chat.documents import DOCUMENTS, INCOMPLETE, whole
from chat.live import read_live
from chat.models import Conversation, Message, User, tree
from chat.process import Process
from chat.views.hits import terms_of
from chat.views.pages import get_conversation
from chat.views.problems import SignedInRequest, queued_per_person, signed_in

# Messages are read and rendered in batches of this many.
BATCH = 50
# Where the messages go in the page that is rendered without them. No text can hold it, as texts are escaped.
PLACE = "<!-- messages -->"


@require_GET
@signed_in
@queued_per_person
async def download(request: SignedInRequest, pk: UUID, suffix: str) -> HttpResponseBase:
    """The messages on screen as Markdown, or those of all branches as JSON."""
    if suffix not in DOCUMENTS:
        raise Http404
    document = DOCUMENTS[suffix]()
    conversation = await get_conversation(request, pk)
    ids = await in_thread(_all if document.has_branches else _on_screen)(conversation)
    labels = conversation.labels.order_by("key")
    conversation.label_names = [label.name async for label in labels]

    async def parts() -> AsyncIterator[str]:
        yield document.begin(conversation)
        async for messages in _batches(request, conversation, ids):
            yield "".join(document.message(message) for message in messages)
        yield document.end()

    body = whole(parts(), document.incomplete)
    response = StreamingHttpResponse(body, content_type=document.content_type)
    name = re.sub(r"[^\w.-]+", "_", conversation.title).strip("._") or str(pk)
    disposition = content_disposition_header(as_attachment=True, filename=f"{name}.{suffix}")
    response.headers["Content-Disposition"] = disposition
    return response


@require_GET
@signed_in
@queued_per_person
async def print_page(request: SignedInRequest, pk: UUID) -> HttpResponseBase:
    """All messages on screen, with their times."""
    return await _page(request, await get_conversation(request, pk), "chat/print.html")


@require_GET
@signed_in
@queued_per_person
async def trashed(request: SignedInRequest, pk: UUID) -> HttpResponseBase:
    """A conversation in the trash, to be read: the branch on screen, or the one through `message`.

    With `find`, what a search for that has found in it is marked.
    """
    conversation = await aget_object_or_404(Conversation.objects.trash_of(request.user), pk=pk)
    if message := await in_thread(conversation.message)(request.GET.get("message", "")):
        conversation.leaf_id = await in_thread(tree.newest_leaf)(message.pk)
    return await _page(request, conversation, "chat/trashed.html", terms=terms_of(request.GET.get("find", "")))


async def _page(
    request: SignedInRequest, conversation: Conversation, template: str, **context: object
) -> HttpResponseBase:
    """All messages of the branch that ends with the leaf, in this template."""
    ids = await in_thread(_on_screen)(conversation)
    context |= {"conversation": conversation, "messages": PLACE}
    page = await in_thread(render_to_string)(template, context, request)
    before, _, after = page.partition(PLACE)

    async def parts() -> AsyncIterator[str]:
        yield before
        async for messages in _batches(request, conversation, ids):
            await Process.of(request).rendering.show(messages)
            yield await in_thread(_rendered)(messages, request.user)
        yield after

    return StreamingHttpResponse(whole(parts(), lambda: format_html("<p>{}</p>", INCOMPLETE)))


def _on_screen(conversation: Conversation) -> list[UUID]:
    """The ids of the messages on screen, the first one first; of two answers to choose from, both."""
    compared = [answer.pk for answer in conversation.compared()]
    return [*reversed(conversation.below(None)), *compared]


def _all(conversation: Conversation) -> list[UUID]:
    return list(conversation.messages.order_by("created", "pk").values_list("pk", flat=True))


async def _batches(
    request: SignedInRequest, conversation: Conversation, ids: list[UUID]
) -> AsyncIterator[list[Message]]:
    """The messages, with what there is of running replies. Each batch takes its turn among the person's pages."""
    process = Process.of(request)
    for some in batched(ids, BATCH, strict=False):
        async with process.shares.page(request.user):
            rows = await in_thread(_read)(conversation, some)
            # One may have been deleted since.
            messages = [rows[pk] for pk in some if pk in rows]
            await read_live(process.log, messages)
            yield messages


def _read(conversation: Conversation, ids: tuple[UUID, ...]) -> dict[UUID, Message]:
    return conversation.messages.select_related("reply").in_bulk(ids)


def _rendered(messages: list[Message], person: User) -> str:
    context = {"read_only": True, "dated": True, "preferences": person}
    return "".join(render_to_string("chat/_message.html", {**context, "message": message}) for message in messages)
