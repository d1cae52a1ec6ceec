"""Searching one's own conversations: a page, what the palette offers, and the way to what was found."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import groupby
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.db.models import Q
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_GET

from chat import sentences
from chat.database import in_thread
from chat.days import midnight
from chat.forms import SearchForm
from chat.models import Conversation, Searchable
from chat.models.searchable import SearchableQuerySet, key_at
from chat.models.summaries import has_line
from chat.process import Process
from chat.search import END, NotSearchable, Piece, Query, newest, parse, snippet
from chat.views import pages
from chat.views.history import history
from chat.views.pages import SeeOther
from chat.views.problems import SignedInRequest, queued_per_person, signed_in

# How many results a page has, and how many the palette offers of each kind.
RESULTS = 20
OFFERED = 6
# So many texts are looked through for each kind while a person types.
LOOKED_THROUGH = 1000


@dataclass(frozen=True, slots=True)
class Group:
    """Results of one conversation that follow each other; `title` is its title with the hits, and none of them.

    `key` is that of the title, if it is a result.
    """

    conversation: Conversation
    title: list[Piece]
    key: int | None
    texts: list[tuple[Searchable, list[Piece]]]


@require_GET
@signed_in
@queued_per_person
async def search(request: SignedInRequest) -> HttpResponse:
    """The page with the field, its filters and a portion of what was found."""

    def page() -> HttpResponse:
        models = _models(request)
        # Its filter by a label is the one of the form, too.
        listed = history(request)
        form = SearchForm(request.GET, models=models, labels=listed["labels"])
        has = {"model": len(models) > 1, "label": bool(listed["labels"])}
        filters = [form[name] for name in ("since", "until", "model", "label", "trash") if has.get(name, True)]
        context = {"form": form, "filters": filters, "history": listed, **_results(request, form)}
        context["temporary_hours"] = settings.CHAT_TEMPORARY_HOURS
        return render(request, "chat/search.html", context)

    return await in_thread(page)()


@require_GET
@signed_in
@queued_per_person
async def search_offers(request: SignedInRequest) -> HttpResponse:
    """The newest titles and messages for what is in the palette, as a fragment of a page.

    While there is nothing in it, the newest conversations.
    """
    words = request.GET.get("q", "")

    def fragment() -> HttpResponse:
        context = _offers(request, words) if words.strip() else _recent(request)
        return render(request, "chat/_search_offers.html", context)

    return await in_thread(fragment)()


@require_GET
@signed_in
@queued_per_person
async def found(request: SignedInRequest, key: int) -> HttpResponse:
    """Lead to what was found, on a page of its conversation that shows it."""

    def place() -> str:
        row = get_object_or_404(_rows(request, with_trash=True), pk=key)
        conversation, words = row.conversation, {"find": request.GET.get("q", ""), "hit": str(key)}
        message = row.note.message if row.note else row.message
        if conversation.trashed:
            return pages.place_in_trash(conversation, message, words["find"])
        if message:
            return pages.place(conversation, message, words)
        fragment = f"#queued-{row.queued_id}" if row.queued_id else ""
        return f"{conversation.get_absolute_url()}?{urlencode(words)}{fragment}"

    return SeeOther(await in_thread(place)())


def _rows(request: SignedInRequest, *, with_trash: bool = False) -> SearchableQuerySet:
    rows = Searchable.objects.for_user(request.user, with_trash=with_trash)
    return rows.select_related("conversation", "message", "queued", "note__message").defer("words")


def _models(request: SignedInRequest) -> list[str]:
    """The models that the person can choose, and others that their conversations name."""
    offered = [model.name for model in Process.of(request).catalog.models_for(request.user)]
    own = Conversation.objects.lasting().filter(owner=request.user)
    named = own.order_by().values_list("model", "models_used").distinct()
    known = {name for last, used in named for name in (last, *used.split("\n")) if name}
    return [*offered, *sorted(known.difference(offered))]


def _of_model(model: str) -> Q:
    """Answers of this model and notes on them, questions queued for it, and what else is in its conversations."""
    its = Q(conversation__model=model) | Q(has_line("conversation__models_used", model))
    has_none = Q(message__reply=None, note=None, queued=None)
    return Q(message__reply__model=model) | Q(note__model=model) | Q(queued__model=model) | (has_none & its)


def _offers(request: SignedInRequest, words: str) -> dict[str, Any]:
    """What is offered for these words, or the sentence that says why nothing is."""
    rows = _rows(request)
    try:
        query = parse(words)
        titles = newest(rows, query, request.user.pk, OFFERED, most=LOOKED_THROUGH, titles=True).rows
        texts = newest(rows.texts(), query, request.user.pk, OFFERED, most=LOOKED_THROUGH).rows
    except NotSearchable as refusal:
        return {"refusal": sentences.search(refusal.code)}
    return {"offers": [(row, snippet(row.text, query)) for row in [*titles, *texts]], "words": words}


def _recent(request: SignedInRequest) -> dict[str, Any]:
    listed = Conversation.objects.for_user(request.user).listed().only("title", "updated")
    # The list has the pinned ones first, however old they are. In its order, an index finds both.
    rows = [row for pinned in (True, False) for row in listed.filter(pinned=pinned)[:OFFERED]]
    return {"recent": sorted(rows, key=lambda row: row.updated, reverse=True)[:OFFERED]}


def _results(request: SignedInRequest, form: SearchForm) -> dict[str, Any]:
    """What was found, by conversation as far as results follow each other, and the query of the next portion."""
    words = request.GET.get("q", "").strip()
    if not form.is_valid() or not words:
        return {}
    try:
        query = parse(words)
        since, before = _span(form.cleaned_data["since"], form.cleaned_data["until"])
        model = form.cleaned_data["model"]
        rows = _rows(request, with_trash=form.cleaned_data["trash"])
        if model:
            rows = rows.filter(_of_model(model))
        if label := form.cleaned_data["label"]:
            rows = rows.filter(conversation__labels=label)
        before = min(before, _cursor(request.GET.get("below", "")))
        found = newest(rows, query, request.user.pk, RESULTS, before=before, since=since)
    except NotSearchable as refusal:
        form.add_error("q", sentences.search(refusal.code))
        return {}
    following = urlencode({**request.GET.dict(), "below": found.next}) if found.next else ""
    is_filtered = any(form.cleaned_data[name] for name in ("since", "until", "model", "label"))
    groups = list(_groups(found.rows, query))
    return {"words": words, "groups": groups, "next": following, "is_filtered": is_filtered}


def _groups(rows: list[Searchable], query: Query) -> Iterator[Group]:
    for conversation, group in groupby(rows, key=lambda row: row.conversation):
        found = list(group)
        key = next((row.pk for row in found if row.is_title), None)
        texts = [(row, snippet(row.text, query)) for row in found if not row.is_title]
        yield Group(conversation, snippet(conversation.title, query), key, texts)


def _span(since: date | None, until: date | None) -> tuple[int, int]:
    """The keys of these days, the last one included."""
    return key_at(midnight(since)) if since else 0, key_at(midnight(until + timedelta(days=1))) if until else END


def _cursor(value: str) -> int:
    """The key before which the next portion begins."""
    is_key = value.isascii() and value.isdecimal() and len(value) <= len(str(END))
    return min(int(value), END) if is_key else END
