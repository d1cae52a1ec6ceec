"""The list of conversations as the admin shows it: some pages of it, and what is on each row."""

from collections.abc import Iterable
from functools import cached_property

from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ORDER_VAR, ChangeList
from django.core.paginator import InvalidPage, Paginator
from django.http import HttpRequest

from chat.admin.filters import before
from chat.models import Conversation, Reply

# So many conversations have pages. To count all, and to skip many, would read them.
MOST = 1000


class ConversationList(ChangeList):
    """A list whose pages hold the first thousand conversations; a link leads to the next ones."""

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
        rows = self.root_queryset.select_related("owner").in_bulk(on_page)
        self.result_list = [rows[pk] for pk in on_page if pk in rows]
        note_running(self.result_list)
        self.result_count = len(self.ids)
        self.multi_page = self.result_count > self.list_per_page
        self.show_full_result_count = self.can_show_all = False
        self.full_result_count = None
        self.show_admin_actions = True

    @cached_property
    def older(self) -> str | None:
        """The query for the conversations after those on the pages."""
        if not self.has_more or ORDER_VAR in self.params:
            return None
        return self.get_query_string(before(self.root_queryset.get(pk=self.ids[-1])))


def note_running(conversations: Iterable[Conversation]) -> None:
    """Set `is_running` of each."""
    by_pk = {conversation.pk: conversation for conversation in conversations}
    running = Reply.objects.running().filter(message__conversation__in=by_pk)
    having = set(running.values_list("message__conversation", flat=True))
    for pk, conversation in by_pk.items():
        conversation.is_running = pk in having
