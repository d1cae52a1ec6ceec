"""The default log: rows of ReplyEvent. Readers in other processes poll."""

from collections.abc import Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import reduce
from itertools import batched
from operator import or_
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Q
from django.utils import timezone

from chat.database import AWAY, in_thread, retry_on_deadlock, retry_while_away
from chat.events import Entry
from chat.models import Reply, ReplyEvent, tree
from chat.replylog.base import LOG_KEPT, PAGE, CursorLost, LogUnreachable, ReplyLog
from chat.replylog.coding import decode, encode
from chat.replylog.commit import Append, Failure, Fenced

# SQLite allows an expression to be a thousand levels deep.
POLLED_AT_ONCE = 200
# At most this many replies leave the log in one transaction: the commits of that moment wait for it.
PURGED_AT_ONCE = 20


class DatabaseLog(ReplyLog):
    def __init__(self, threads: ThreadPoolExecutor) -> None:
        super().__init__(threads)
        # A thread of its own, so that no slow query delays what all readers wait for.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="reply-log")
        self._commit_appends = retry_while_away(in_thread(commit_appends, self._thread))
        # The replies that ended before have left the log.
        self._purged = datetime.min.replace(tzinfo=UTC)

    async def read(self, reply_id: UUID, after: int) -> list[Entry]:
        try:
            return await retry_while_away(in_thread(_read))(reply_id, after)
        except AWAY as error:
            raise LogUnreachable from error

    async def check(self) -> None:
        """Nothing to do: the process renews its lease in the same database every second."""

    async def hide_end(self, reply_id: UUID) -> None:
        """Nothing to do: it went in the transaction that resumed the reply."""

    async def close(self) -> None:
        await super().close()
        self._thread.shutdown(wait=False)

    async def purge(self) -> None:
        until = timezone.now() - LOG_KEPT
        for some in batched(await in_thread(_logged)(self._purged, until), PURGED_AT_ONCE):
            await in_thread(_forget)(some, until)
        self._purged = until

    async def forget(self, reply_ids: Collection[UUID]) -> None:
        """Nothing to do: the database deletes the entries with the reply."""

    async def store(self, appends: list[Append]) -> dict[UUID, Failure]:
        return await self._commit_appends(appends)

    async def poll(self, cursors: dict[UUID, int]) -> dict[UUID, list[Entry]]:
        return await in_thread(_entries_after)(cursors) if cursors else {}


@retry_on_deadlock
@transaction.atomic
def commit_appends(appends: list[Append]) -> dict[UUID, Failure]:
    """Insert the entries, and store the ends in their rows; doing it twice does no harm.

    Returns the replies that were not stored, and why.
    """
    ids = {append.reply_id for append in appends}
    attempts = _lock_running(ids)
    mine = [append for append in appends if attempts.get(append.reply_id) == append.attempt]
    if restarted := [append.reply_id for append in mine if append.restarts]:
        ReplyEvent.objects.filter(reply_id__in=restarted).delete()
    _insert(mine)
    for append in mine:
        if append.marks:
            Reply.objects.mark(append.reply_id, append.attempt, append.marks)
    stored = {append.reply_id for append in mine}
    for append in appends:
        if append.outcome and Reply.objects.finish(append.reply_id, append.attempt, append.outcome):
            stored.add(append.reply_id)
    return dict.fromkeys(ids - stored, Fenced)


def _lock_running(ids: Collection[UUID]) -> dict[UUID, int]:
    """The attempts of those of these replies that are running.

    The locks keep claims out until the commit, so that no two attempts write at the same time. All code locks replies
    in the order of their ids, as two transactions could otherwise wait for each other. By hand, as below.
    """
    statement = (
        f"SELECT message_id, attempt FROM {Reply._meta.db_table} "  # noqa: S608
        f"WHERE message_id IN ({', '.join(['%s'] * len(ids))}) "
        "AND status IN (%s, %s) AND ended IS NULL ORDER BY message_id"
    )
    if connection.features.has_select_for_update:
        statement += " FOR UPDATE"
    with connection.cursor() as cursor:
        cursor.execute(statement, (*map(tree.as_stored, ids), *Reply.RUNNING))
        return {tree.as_uuid(pk): attempt for pk, attempt in cursor.fetchall()}


def _insert(appends: list[Append]) -> None:
    """Insert the entries that no earlier try has inserted.

    By hand: making model objects and compiling a statement for them took most of a commit.
    """
    columns = [field.attname for field in ReplyEvent._meta.concrete_fields]
    as_stored = ReplyEvent._meta.get_field("reply").target_field.get_db_prep_value
    rows = [
        (as_stored(append.reply_id, connection), seq, *encode(event))
        for append in appends
        for seq, event in append.entries
    ]
    statement = (
        f"INSERT INTO {ReplyEvent._meta.db_table} ({', '.join(columns)}) "  # noqa: S608
        "VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING"
    )
    with connection.cursor() as cursor:
        cursor.executemany(statement, rows)


def _read(reply_id: UUID, after: int) -> list[Entry]:
    rows = _rows(reply_id, after)
    if not rows and not after and not Reply.objects.running().filter(pk=reply_id).exists():
        # It may have ended between the two queries.
        rows = _rows(reply_id, after)
        if not rows:
            raise CursorLost
    return [decode(*row) for row in rows]


def _rows(reply_id: UUID, after: int) -> list[tuple[int, str, str]]:
    # The entry at the cursor proves that the log still holds what follows it.
    events = ReplyEvent.objects.filter(reply_id=reply_id, seq__gte=after).order_by("seq")
    rows = list(events.values_list("seq", "kind", "data")[: PAGE + 1])
    if rows and rows[0][0] == after and rows[0][1] != "end":
        del rows[0]
    elif after and not rows:
        raise CursorLost
    if rows:
        (first, kind, _), (last, *_) = rows[0], rows[-1]
        # A failed commit leaves a gap. Its writer ends the reply, so that the row has all of the text.
        if (first != after + 1 and kind != "snapshot") or last - first != len(rows) - 1:
            raise CursorLost
    return rows[:PAGE]


def _entries_after(cursors: dict[UUID, int]) -> dict[UUID, list[Entry]]:
    found: dict[UUID, list[Entry]] = {}
    for some in batched(cursors.items(), POLLED_AT_ONCE):
        after = reduce(or_, (Q(reply_id=reply_id, seq__gt=cursor) for reply_id, cursor in some))
        rows = ReplyEvent.objects.filter(after).order_by("seq").values_list("reply_id", "seq", "kind", "data")
        for reply_id, seq, kind, data in rows[:PAGE]:
            found.setdefault(reply_id, []).append(decode(seq, kind, data))
    return found


def _logged(since: datetime, until: datetime) -> list[UUID]:
    """The replies that ended in this time and are still in the log."""
    ended = Reply.objects.filter(ended__gte=since, ended__lt=until)
    return list(ended.filter(pk__in=ReplyEvent.objects.values("reply_id")).values_list("pk", flat=True))


def _forget(reply_ids: Iterable[UUID], until: datetime) -> None:
    # A person may have resumed one of them meanwhile.
    ended = Reply.objects.filter(pk__in=reply_ids, ended__lt=until)
    ReplyEvent.objects.filter(reply_id__in=ended).delete()
