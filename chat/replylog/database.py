"""The default log: rows of ReplyEvent. Readers in other processes poll."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import reduce
from itertools import batched
from operator import or_
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Q
from django.db.models.functions import Now

from chat.database import AWAY, in_thread, patient, retry_on_deadlock
from chat.events import Entry
from chat.models import Reply, ReplyEvent
from chat.replylog.base import PAGE, PlaceLost, ReplyLog, Unreachable
from chat.replylog.coding import decode, encode
from chat.replylog.commit import Append, Failure, Fenced

# Readers that were away for this long find the rest of a reply in its log; later ones get a snapshot.
KEPT = timedelta(minutes=10)
# SQLite allows an expression to be a thousand levels deep.
POLLED_AT_ONCE = 200
# So many replies leave the log in one transaction, for which all commits of this moment wait.
PURGED_AT_ONCE = 20


class DatabaseLog(ReplyLog):
    def __init__(self) -> None:
        super().__init__()
        # A thread of its own: no slow query delays what all readers wait for.
        self._lane = ThreadPoolExecutor(max_workers=1, thread_name_prefix="reply-log")
        self._commit_all = patient(in_thread(_store, self._lane))

    async def read(self, reply_id: UUID, after: int) -> list[Entry]:
        try:
            return await in_thread(_read)(reply_id, after)
        except AWAY as error:
            raise Unreachable from error

    async def check(self) -> None:
        """Nothing to do: the process renews its lease in the same database every second."""

    async def reopen(self, reply_id: UUID) -> None:
        await in_thread(_reopen)(reply_id)

    async def close(self) -> None:
        await super().close()
        self._lane.shutdown(wait=False)

    async def purge(self) -> None:
        await in_thread(_purge)()

    async def _store(self, appends: list[Append]) -> dict[UUID, Failure]:
        return await self._commit_all(appends)

    async def _poll(self, places: dict[UUID, int]) -> dict[UUID, list[Entry]]:
        return await in_thread(_poll)(places) if places else {}


@retry_on_deadlock
@transaction.atomic
def _store(appends: list[Append]) -> dict[UUID, Failure]:
    ids = {append.reply_id for append in appends}
    # The lock keeps a claim out until the commit, so that no two attempts write at the same time. Whoever locks several
    # replies does it in the order of their ids: two that did it in different orders could wait for each other.
    running = Reply.objects.running().filter(pk__in=ids).order_by("pk").select_for_update()
    attempts = dict(running.values_list("pk", "attempt"))
    mine = [append for append in appends if attempts.get(append.reply_id) == append.attempt]
    if anew := [append.reply_id for append in mine if append.anew]:
        ReplyEvent.objects.filter(reply_id__in=anew).delete()
    _insert(mine)
    for append in mine:
        if append.outcome:
            Reply.objects.finish(append.reply_id, append.attempt, append.outcome)
    return dict.fromkeys(ids - {append.reply_id for append in mine}, Fenced)


def _insert(appends: list[Append]) -> None:
    """Insert all entries that an earlier try has not stored already.

    By hand, as making model objects and compiling a statement for them took most of a commit.
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
            raise PlaceLost
    return [decode(*row) for row in rows]


def _rows(reply_id: UUID, after: int) -> list[tuple[int, str, str]]:
    # The entry at the cursor proves that the log still holds what follows it.
    events = ReplyEvent.objects.filter(reply_id=reply_id, seq__gte=after).order_by("seq")
    rows = list(events.values_list("seq", "kind", "data")[: PAGE + 1])
    if rows and rows[0][0] == after and rows[0][1] != "end":
        del rows[0]
    elif after and not rows:
        raise PlaceLost
    if rows:
        (first, kind, _), (last, *_) = rows[0], rows[-1]
        # A failed commit leaves a gap. Its writer ends the reply, so that the row has all of the text.
        if (first != after + 1 and kind != "snapshot") or last - first != len(rows) - 1:
            raise PlaceLost
    return rows[:PAGE]


def _reopen(reply_id: UUID) -> None:
    ReplyEvent.objects.filter(reply_id=reply_id, kind=ReplyEvent.Kind.END).delete()


def _poll(places: dict[UUID, int]) -> dict[UUID, list[Entry]]:
    found: dict[UUID, list[Entry]] = {}
    for some in batched(places.items(), POLLED_AT_ONCE):
        behind = reduce(or_, (Q(reply_id=reply_id, seq__gt=place) for reply_id, place in some))
        rows = ReplyEvent.objects.filter(behind).order_by("seq").values_list("reply_id", "seq", "kind", "data")
        for reply_id, seq, kind, data in rows[:PAGE]:
            found.setdefault(reply_id, []).append(decode(seq, kind, data))
    return found


def _purge() -> None:
    # The log is small, unlike the table of replies: what is to go is looked for there.
    ends = ReplyEvent.objects.filter(kind=ReplyEvent.Kind.END, reply__ended__lt=Now() - KEPT)
    ended = ends.values_list("reply_id", flat=True)
    for some in batched(list(ended), PURGED_AT_ONCE):
        # A person may have let one of them go on meanwhile.
        still = Reply.objects.filter(pk__in=some, ended__lt=Now() - KEPT)
        ReplyEvent.objects.filter(reply_id__in=still).delete()
