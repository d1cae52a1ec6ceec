"""Many readers that come at once: a process died and its readers come over, or a lecture begins."""

import asyncio

import pytest

from chat.database import in_thread
from chat.events import Delta, Entry
from chat.models import Reply, User
from chat.replylog import ReplyLog, redis
from tests.replylogs import DONE, claimed_reply, everything, text

# Fault tests bring their own store, but this one concerns each.
pytestmark = [pytest.mark.stores, pytest.mark.django_db(transaction=True)]

READERS = 2000
REPLIES = 20
# What a reader has missed, in entries, and how many come while the readers do.
MISSED, COMING = 100, 40


async def test_two_thousand_readers_at_once_lose_nothing(
    log: ReplyLog, sam: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A client counts the time for which the event loop does not come to read the answer, and this machine may be busy.
    monkeypatch.setattr(redis, "TIMEOUT", 10.0)
    replies = [await in_thread(claimed_reply)(sam) for _ in range(REPLIES)]
    rush = asyncio.Event()

    async def write(reply: Reply) -> None:
        with log.writer(reply.pk, 1) as writer:
            await asyncio.gather(*(writer.append([Delta(f"{number} ")]) for number in range(MISSED)))
            rush.set()
            for number in range(MISSED, MISSED + COMING):
                await writer.append([Delta(f"{number} ")])
            await writer.end(DONE)

    async def read(reply: Reply) -> list[Entry]:
        await rush.wait()
        return await everything(log, reply.pk)

    reading = asyncio.gather(*(read(reply) for reply in replies * (READERS // REPLIES)))
    await asyncio.gather(*map(write, replies))
    whole = "".join(f"{number} " for number in range(MISSED + COMING))
    for seen in await reading:
        assert (text(seen), seen[-1][1]) == (whole, DONE)
