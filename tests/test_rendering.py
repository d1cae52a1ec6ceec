"""The HTML of messages: where it is made, how often, and when what is kept is used."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any
from uuid import UUID

import httpx
import pytest
from django.db import OperationalError, connection, transaction
from django.urls import reverse
from django.utils.safestring import SafeString

from chat import asking
from chat import rendering as module
from chat.database import in_thread
from chat.markdown import TOO_MUCH, plain
from chat.models import Conversation, Message, MessageHtml, Reply, User
from chat.process import Process
from chat.rendering import BUSY, Rendering
from chat.shares import PAGES_AT_ONCE
from config.server.middleware import Handler
from config.server.threads import THREADS, SharedThreads
from tests import endings
from tests.client import AsyncClient

pytestmark = pytest.mark.django_db(transaction=True)

# In seconds: what has not happened by then does not happen.
PATIENCE = 60
USER, ASSISTANT = Message.Role.USER, Message.Role.ASSISTANT


class Renderer:
    """Renders `text` as `<text>`, notes what and where, and waits for `go` if it is told to."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.threads: set[str] = set()
        self.begun = threading.Event()
        self.go = threading.Event()
        self.go.set()

    def __call__(self, text: str) -> SafeString:
        self.texts.append(text)
        self.threads.add(threading.current_thread().name)
        self.begun.set()
        assert self.go.wait(PATIENCE)
        return SafeString(f"<{text}>")


@pytest.fixture
def renderer() -> Iterator[Renderer]:
    renderer = Renderer()
    yield renderer
    renderer.go.set()


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    """One thread, so that what is submitted later is done later."""
    with ThreadPoolExecutor(1) as threads:
        yield threads


@pytest.fixture
def rendering(renderer: Renderer, threads: ThreadPoolExecutor) -> Iterator[Rendering]:
    rendering = Rendering(threads, renderer)
    yield rendering
    rendering.close()


def answer(text: str, status: str = "complete") -> Message:
    """An answer that is in no database."""
    message = Message(role=ASSISTANT, text=text)
    message.reply = Reply(message=message, status=status)
    return message


async def html(rendering: Rendering, message: Message) -> str:
    await rendering.show([message])
    return message.html


async def test_messages_get_their_html(threads: ThreadPoolExecutor) -> None:
    rendering = Rendering(threads)
    messages = [Message(role=USER, text="*b*"), answer("*b*")]
    await rendering.show(messages)
    assert messages[0].html == '<p dir="auto">*b*</p>\n'
    assert messages[1].html == '<p dir="auto"><em>b</em></p>\n'
    rendering.close()


async def test_a_text_is_rendered_once_for_all_who_wait(rendering: Rendering, renderer: Renderer) -> None:
    renderer.go.clear()
    waiting = [asyncio.create_task(rendering._html(answer("a"), "a")) for _ in range(6)]
    await asyncio.to_thread(renderer.begun.wait)
    renderer.go.set()
    assert await asyncio.gather(*waiting) == ["<a>"] * 6
    assert renderer.texts == ["a"]


async def test_texts_are_rendered_in_one_separate_thread(rendering: Rendering, renderer: Renderer) -> None:
    await asyncio.gather(*(html(rendering, answer(str(number))) for number in range(5)))
    assert renderer.threads == {"rendering_0"}


async def test_a_reader_who_leaves_takes_nothing_from_the_others(rendering: Rendering, renderer: Renderer) -> None:
    renderer.go.clear()
    busy = asyncio.create_task(html(rendering, answer("a")))
    await asyncio.to_thread(renderer.begun.wait)
    leaving, staying = (asyncio.create_task(rendering._html(answer("b"), "b")) for _ in range(2))
    # Until both wait.
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.wait([leaving])
    renderer.go.set()
    assert await staying == "<b>"
    assert await busy == "<a>"


async def test_a_page_of_slow_texts_lets_others_in_between(rendering: Rendering, renderer: Renderer) -> None:
    renderer.go.clear()
    page = asyncio.create_task(rendering.show([answer(text) for text in "cba"]))
    await asyncio.to_thread(renderer.begun.wait)
    other = asyncio.create_task(rendering._html(answer("other"), "other"))
    await asyncio.sleep(0)
    renderer.go.set()
    await asyncio.gather(page, other)
    assert renderer.texts.index("other") < renderer.texts.index("c")


async def test_a_page_waits_only_so_long(rendering: Rendering, renderer: Renderer, alice: User) -> None:
    old, new = [await in_thread(stored)(alice, text) for text in ("old", "new <b>")]
    await shown_and_kept(rendering, old)
    renderer.go.clear()
    await rendering.show([old, new], patience=0.01)
    assert new.html == f'<p><em>{BUSY}</em></p>\n<pre class="plain" dir="auto" tabindex="0">\nnew &lt;b&gt;</pre>'
    assert old.html == "<old>"
    renderer.go.set()
    await rendering.show([new])
    assert new.html == "<new <b>>"
    assert renderer.texts == ["old", "new <b>"]


async def test_a_page_has_only_so_much_html(
    rendering: Rendering, renderer: Renderer, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    oldest, old, new = messages = [await in_thread(stored)(alice, text) for text in ("oldest", "old", "new")]
    await shown_and_kept(rendering, old)
    await shown_and_kept(rendering, new)
    monkeypatch.setattr(module, "PAGE_CHARS", len("<new><"))
    await rendering.show(messages)
    assert (new.html, old.html) == ("<new>", "<old>")
    assert oldest.html == plain("oldest", TOO_MUCH)
    assert renderer.texts == ["old", "new"]


async def test_no_more_html_is_read_than_a_page_has(
    rendering: Rendering, renderer: Renderer, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    messages = [await in_thread(stored)(alice, text) for text in "abc"]
    for message in messages:
        await shown_and_kept(rendering, message)
    read: list[UUID] = []
    made_of = MessageHtml.objects.made_of

    def noted(sources: dict[UUID, str]) -> dict[UUID, str]:
        read.extend(sources)
        return made_of(sources)

    monkeypatch.setattr(MessageHtml.objects, "made_of", noted)
    monkeypatch.setattr(module, "AT_ONCE", 1)
    monkeypatch.setattr(module, "PAGE_CHARS", len("<c><"))
    await rendering.show(messages)
    assert read == [messages[2].pk, messages[1].pk]


async def test_a_failure_is_not_kept(threads: ThreadPoolExecutor) -> None:
    failures = [ValueError("broken")]

    def fail_once(text: str) -> SafeString:
        if failures:
            raise failures.pop()
        return SafeString(text)

    rendering = Rendering(threads, fail_once)
    with pytest.raises(ValueError, match="broken"):
        await html(rendering, answer("a"))
    assert await html(rendering, answer("a")) == "a"
    rendering.close()


async def test_closing_drops_the_texts_that_wait(rendering: Rendering, renderer: Renderer) -> None:
    renderer.go.clear()
    first, second = (asyncio.create_task(rendering._html(answer(text), text)) for text in "ab")
    await asyncio.to_thread(renderer.begun.wait)
    rendering.close()
    renderer.go.set()
    assert await first == "<a>"
    with pytest.raises(asyncio.CancelledError):
        await second
    assert renderer.texts == ["a"]


# What is kept


def stored(owner: User, text: str) -> Message:
    """An answer that has ended, as a page reads it."""
    reply = asking.begin(owner, "Hello?", "demo")
    endings.end(reply, text)
    return read(reply.message)


def read(message: Message) -> Message:
    return Message.objects.select_related("reply").get(pk=message.pk)


async def shown_and_kept(rendering: Rendering, message: Message) -> str:
    """Its HTML, and wait until that is kept."""
    await rendering.show([message])
    await asyncio.wrap_future(rendering._threads.submit(lambda: None))
    return message.html


@pytest.mark.stores
async def test_the_html_of_a_message_is_made_once(
    rendering: Rendering, renderer: Renderer, threads: ThreadPoolExecutor, alice: User
) -> None:
    message = await in_thread(stored)(alice, "a")
    assert await shown_and_kept(rendering, message) == "<a>"
    elsewhere = Rendering(threads, renderer)
    assert await html(elsewhere, await in_thread(read)(message)) == "<a>"
    assert renderer.texts == ["a"]
    elsewhere.close()


@pytest.mark.stores
async def test_a_text_that_has_grown_is_rendered_again(rendering: Rendering, renderer: Renderer, alice: User) -> None:
    message = await in_thread(stored)(alice, "a")
    for text in ("a", "ab", "ab"):
        message.text = text
        assert await shown_and_kept(rendering, message) == f"<{text}>"
    assert renderer.texts == ["a", "ab"]
    assert (await MessageHtml.objects.aget()).html == "<ab>"


async def test_other_rules_render_again_and_whichever_came_last_are_kept(
    rendering: Rendering, renderer: Renderer, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = await in_thread(stored)(alice, "a")
    for version in (1, 2, 2, 1):
        monkeypatch.setattr(module, "VERSION", version)
        await shown_and_kept(rendering, message)
    assert renderer.texts == ["a"] * 3


async def test_what_is_still_being_written_is_not_kept(rendering: Rendering, alice: User) -> None:
    reply = await in_thread(asking.begin)(alice, "Hello?", "demo")
    message = await in_thread(read)(reply.message)
    message.text = "Hel"
    assert await shown_and_kept(rendering, message) == "<Hel>"
    assert not await MessageHtml.objects.aexists()


async def test_a_question_that_waits_to_be_asked_is_not_kept(
    rendering: Rendering, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has no row to keep it for, so nothing is written each time somebody looks at it."""
    kept: list[MessageHtml] = []
    monkeypatch.setattr(MessageHtml.objects, "keep", kept.extend)
    assert await shown_and_kept(rendering, Message(role=USER, text="And?")) == '<p dir="auto">And?</p>\n'
    assert kept == []
    message = await in_thread(stored)(alice, "a")
    await shown_and_kept(rendering, message)
    assert [row.message for row in kept] == [message]


@pytest.mark.stores
async def test_the_html_goes_with_its_message(rendering: Rendering, alice: User) -> None:
    message, gone = [await in_thread(stored)(alice, text) for text in "ab"]
    await shown_and_kept(rendering, message)
    await Conversation.objects.all().adelete()
    await shown_and_kept(rendering, gone)
    assert not await MessageHtml.objects.aexists()


@pytest.mark.stores
@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has one writer at a time")
async def test_nobody_who_deletes_a_message_is_waited_for(threads: ThreadPoolExecutor, alice: User) -> None:
    message = await in_thread(stored)(alice, "a")
    row = MessageHtml(message=message, source="", html="<a>")

    def keep_while_it_is_being_deleted() -> None:
        with transaction.atomic():
            Message.objects.filter(pk=message.pk).delete()
            threads.submit(MessageHtml.objects.keep, [row]).result(PATIENCE)
        threads.submit(connection.close)

    await in_thread(keep_while_it_is_being_deleted)()
    assert not await MessageHtml.objects.aexists()


async def test_a_page_is_shown_although_its_html_cannot_be_kept(
    rendering: Rendering, alice: User, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    message = await in_thread(stored)(alice, "a")

    def refuse(rows: list[MessageHtml]) -> None:
        raise OperationalError("database is locked")

    monkeypatch.setattr(MessageHtml.objects, "keep", refuse)
    assert await shown_and_kept(rendering, message) == "<a>"
    assert "could not be kept" in caplog.text


# Pages


async def test_slow_answers_keep_no_page_from_others(
    rendering: Rendering, renderer: Renderer, alice: User, bob: User, sam: User
) -> None:
    """As many pages wait for their HTML as there are threads for requests."""
    assert 2 * PAGES_AT_ONCE == THREADS
    process = Process.from_settings()
    process.rendering = rendering
    pages = SharedThreads(process.serving(Handler()))  # type: ignore[arg-type]
    renderer.go.clear()
    async with AsyncExitStack() as browsers:
        hers, his, theirs = [await browsers.enter_async_context(browser(pages, user)) for user in (alice, bob, sam)]
        slow = [(hers, await in_thread(conversation)(alice)), (his, await in_thread(conversation)(bob))]
        waiting = [asyncio.create_task(person.get(address)) for person, address in slow for _ in range(PAGES_AT_ONCE)]
        await asyncio.to_thread(renderer.begun.wait)
        assert (await theirs.get("/history/")).status_code == 200
        assert len(renderer.texts) == 1, "the first text still holds up all others"
        renderer.go.set()
        assert [(await page).status_code for page in waiting] == [200] * len(waiting)
    await process.close()


async def test_an_administrators_slow_transcripts_keep_no_page_from_others(
    rendering: Rendering, renderer: Renderer, alice: User, bob: User, sam: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More pages wait for their HTML than there are threads for requests."""
    process = Process.from_settings()
    process.rendering = rendering
    pages = SharedThreads(process.serving(Handler()))  # type: ignore[arg-type]
    monkeypatch.setattr(rendering, "show", partial(rendering.show, patience=PATIENCE))
    await in_thread(conversation)(alice)
    transcript = reverse("admin:chat_conversation_change", args=[(await Conversation.objects.aget()).pk])
    renderer.go.clear()
    async with browser(pages, sam) as his, browser(pages, bob) as theirs:
        waiting = [asyncio.create_task(his.get(transcript)) for _ in range(2 * THREADS)]
        await asyncio.to_thread(renderer.begun.wait)
        assert (await theirs.get("/history/")).status_code == 200
        assert not any(page.done() for page in waiting)
        renderer.go.set()
        assert [(await page).status_code for page in waiting] == [200] * len(waiting)
    await process.close()


@asynccontextmanager
async def browser(application: Any, user: User) -> AsyncIterator[httpx.AsyncClient]:
    """A person who is signed in at the application."""
    client = AsyncClient()
    await client.aforce_login(user)
    cookies = {name: morsel.value for name, morsel in client.cookies.items()}
    transport = httpx.ASGITransport(application)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", cookies=cookies) as browser:
        yield browser


def conversation(owner: User) -> str:
    """The address of a conversation with an answer that nobody has seen yet."""
    reply = asking.begin(owner, "Hello?", "demo")
    endings.end(reply, f"Hello {owner}")
    return reply.message.conversation.get_absolute_url()
