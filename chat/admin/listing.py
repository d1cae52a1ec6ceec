"""The list of conversations as the admin shows it: some pages of it, and what is on each row."""

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ORDER_VAR, PAGE_VAR, SEARCH_VAR, ChangeList
from django.core.paginator import InvalidPage, Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, QueryDict

from chat import sentences
from chat.admin.files import filtered
from chat.admin.filters import BeforeFilter, BelowFilter, after, ahead, before, below, moment_of, searched
from chat.admin.reading import may_read
from chat.models import Conversation, Remark, Reply, SavedFilter, Searchable
from chat.search import Found, NotSearchable, all_for_staff, for_staff, parse, snippet

# So many conversations have pages. To count all, and to skip many, would read them.
MOST = 1000
# A file of what a search finds has as many conversations at most.
MOST_IN_FILE = 10_000


class TooManyFound(Exception):
    """There are more than a file can have."""


class ConversationList(ChangeList):
    """A list whose pages hold the first thousand conversations; a link leads to the next ones."""

    def __init__(self, request: HttpRequest, *args: Any) -> None:
        self.request = request
        super().__init__(request, *args)

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> QuerySet[Conversation]:
        listed: QuerySet[Conversation] = super().get_queryset(request, exclude_parameters)
        self.found = Found([], None)
        if not self.query or not may_read(request):
            return listed
        where = searched(request)
        where["before"] = min(where["before"], below(request))
        try:
            self.found = for_staff(listed, self.query, **where)
        except NotSearchable as refusal:
            self.model_admin.message_user(request, sentences.search(refusal.code), messages.WARNING)
        return listed.filter(pk__in={row.conversation_id for row in self.found.rows})

    def get_results(self, request: HttpRequest) -> None:
        """Look for ids once, instead of counting first: where few are found, that reads the whole list."""
        found = list(self.queryset.values_list("pk", flat=True)[: MOST + 1])
        self.has_more = len(found) > MOST
        self.ids = found[:MOST]
        self.paginator = Paginator(self.ids, self.list_per_page)
        try:
            on_page = self.paginator.page(self.page_num).object_list
        except InvalidPage:
            raise IncorrectLookupParameters from None
        # By the ids alone, which are of the list: SQLite would read all that the people of a limited reviewer have.
        rows = Conversation.objects.select_related("owner", "review__assignee").in_bulk(on_page)
        self.result_list = [rows[pk] for pk in on_page if pk in rows]
        note_marks(self.result_list)
        self._show_found(rows)
        self.result_count = len(self.ids)
        self.multi_page = self.result_count > self.list_per_page
        self.show_full_result_count = self.can_show_all = False
        self.full_result_count = None
        self.show_admin_actions = bool(self.ids)

    def _show_found(self, rows: Mapping[UUID, Conversation]) -> None:
        """Set the `snippet` of each row to that of the newest text in which there is a hit."""
        if not self.found.rows:
            return
        query = parse(self.query)
        keys = [row.pk for row in self.found.rows if row.conversation_id in rows and not row.is_title]
        texts = Searchable.objects.filter(pk__in=keys).select_related("message", "queued").defer("words")
        for row in texts.order_by("-pk"):
            conversation = rows[row.conversation_id]
            # To look for hits takes longer than all else here.
            if conversation.snippet:
                continue
            pieces = snippet(row.text, query)
            # Where only the name of the owner has been found, there is none.
            if any(piece.is_hit for piece in pieces):
                conversation.snippet = pieces

    @property
    def saved_filters(self) -> QuerySet[SavedFilter]:
        return SavedFilter.objects.for_user(self.request.user).order_by("name")

    @property
    def query_to_save(self) -> str:
        """What is filtered, searched and ordered; not where in the list this is."""
        kept = [(name, value) for name, values in self.filter_params.items() for value in values]
        places = (BeforeFilter.parameter_name, BelowFilter.parameter_name)
        return urlencode([(name, value) for name, value in kept if name not in places])

    @cached_property
    def older(self) -> str | None:
        """The query for the conversations after those on the pages."""
        if not self.has_more or ORDER_VAR in self.params:
            return None
        return self.get_query_string(before(self.root_queryset.get(pk=self.ids[-1])))

    @property
    def older_texts(self) -> dict[str, str] | None:
        """How far back the search has looked, and the query that goes on there; None if that was all."""
        if self.found.next is None:
            return None
        query = self.get_query_string({BelowFilter.parameter_name: str(self.found.next)}, [PAGE_VAR])
        return {"time": moment_of(self.found.next), "query": query}


def everything(admin: Any, request: HttpRequest) -> QuerySet[Conversation]:
    """What the filters and the words of an address show, on however many pages, and in however old texts.

    Raises BadRequest, NotSearchable and TooManyFound.
    """
    asked = request.GET
    words = asked.get(SEARCH_VAR, "")
    filters = asked.copy()
    filters.pop(SEARCH_VAR, None)
    request.GET = QueryDict(filters.urlencode())
    try:
        listed = filtered(admin, request)
    finally:
        request.GET = asked
    if not words:
        return listed
    pks: set[UUID] = set()
    for pk in all_for_staff(listed, words, **searched(request)):
        pks.add(pk)
        if len(pks) > MOST_IN_FILE:
            raise TooManyFound
    return listed.filter(pk__in=pks)


def note_marks(conversations: Iterable[Conversation]) -> None:
    """Set `is_running` and `is_flagged` of each."""
    by_pk = {conversation.pk: conversation for conversation in conversations}
    running = Reply.objects.running().filter(message__conversation__in=by_pk)
    having = set(running.values_list("message__conversation", flat=True))
    flagged = Remark.objects.flagged(by_pk)
    for pk, conversation in by_pk.items():
        conversation.is_running = pk in having
        conversation.is_flagged = pk in flagged


def neighbour(admin: Any, request: HttpRequest, pk: UUID, step: int) -> UUID | None:
    """The conversation after this one (step 1), or before it (-1), in the list that the request asks for.

    A review may have taken this one out of what the list is filtered by. It keeps its place by its last activity, as
    long as the list is in that order; in any other one the first of the list is next.
    """
    try:
        listed: ConversationList = admin.get_changelist_instance(request)
    except IncorrectLookupParameters:
        return None
    here = listed.root_queryset.filter(pk=pk).first()
    if here is None:
        return None
    if ORDER_VAR not in listed.params:
        rows = after(listed.queryset, here) if step > 0 else ahead(listed.queryset, here)
        return rows.values_list("pk", flat=True).first()
    ids = listed.ids
    index = ids.index(pk) + step if pk in ids else 0
    return ids[index] if 0 <= index < len(ids) else None
