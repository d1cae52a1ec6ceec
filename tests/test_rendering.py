"""The HTML of messages: where it is made, how often, and how much of it is kept."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from sys import getsizeof
from typing import Any

import httpx
import pytest
from django.urls import reverse
from django.utils.safestring import SafeString

from chat import asking
from chat.database import in_thread
from chat.models import Conversation, Message, User
from chat.process import Process
from chat.rendering import BUSY, Rendering
from chat.shares import PAGES_AT_ONCE
from config.server.middleware import Handler
from config.server.threads import THREADS, SharedThreads
from tests import endings
from tests.client import AsyncClient

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
def rendering(renderer: Renderer) -> Iterator[Rendering]:
    rendering = Rendering(renderer)
    yield rendering
    rendering.close()


async def test_messages_get_their_html() -> None:
    rendering = Rendering()
    messages = [Message(role=USER, text="*b*"), Message(role=ASSISTANT, text="*b*")]
    await rendering.show(messages)
    assert messages[0].html == '<p dir="auto">*b*</p>\n'
    assert messages[1].html == '<p dir="auto"><em>b</em></p>\n'
    rendering.close()


async def test_a_text_is_rendered_once(rendering: Rendering, renderer: Renderer) -> None:
    renderer.go.clear()
    waiting = [asyncio.create_task(rendering.html("a")) for _ in range(6)]
    await asyncio.to_thread(renderer.begun.wait)
    renderer.go.set()
    assert await asyncio.gather(*waiting) == ["<a>"] * 6
    assert await rendering.html("a") == "<a>"
    assert renderer.texts == ["a"]


async def test_texts_are_rendered_in_one_separate_thread(rendering: Rendering, renderer: Renderer) -> None:
    await asyncio.gather(*(rendering.html(str(number)) for number in range(5)))
    assert renderer.threads == {"rendering_0"}


async def test_a_reader_who_leaves_takes_nothing_from_the_others(rendering: Rendering, renderer: Renderer) -> None:
    renderer.go.clear()
    busy = asyncio.create_task(rendering.html("a"))
    leaving, staying = (asyncio.create_task(rendering.html("b")) for _ in range(2))
    await asyncio.to_thread(renderer.begun.wait)
    leaving.cancel()
    await asyncio.wait([leaving])
    renderer.go.set()
    assert await staying == "<b>"
    assert await busy == "<a>"


async def test_a_page_of_slow_texts_lets_others_in_between(rendering: Rendering, renderer: Renderer) -> None:
    renderer.go.clear()
    page = asyncio.create_task(rendering.show([Message(role=ASSISTANT, text=text) for text in "cba"]))
    await asyncio.to_thread(renderer.begun.wait)
    other = asyncio.create_task(rendering.html("other"))
    await asyncio.sleep(0)
    renderer.go.set()
    await asyncio.gather(page, other)
    assert renderer.texts.index("other") < renderer.texts.index("c")


async def test_a_page_waits_only_so_long(rendering: Rendering, renderer: Renderer) -> None:
    old, new = (Message(role=ASSISTANT, text=text) for text in ("old", "new <b>"))
    await rendering.html("old")
    renderer.go.clear()
    await rendering.show([old, new], patience=0.01)
    assert new.html == f'<p><em>{BUSY}</em></p>\n<pre class="plain" dir="auto" tabindex="0">\nnew &lt;b&gt;</pre>'
    assert old.html == "<old>"
    renderer.go.set()
    await rendering.show([new])
    assert new.html == "<new <b>>"
    assert renderer.texts == ["old", "new <b>"]


async def test_html_is_kept_up_to_a_number_of_bytes(renderer: Renderer) -> None:
    texts = [letter * 1000 for letter in "abc"]
    rendering = Rendering(renderer, kept_bytes=2 * getsizeof(SafeString(f"<{texts[0]}>")))
    for text in (texts[0], texts[1], texts[0], texts[2]):
        await rendering.html(text)
    assert renderer.texts == texts
    await rendering.html(texts[0])
    assert renderer.texts == texts
    await rendering.html(texts[1])
    assert renderer.texts == [*texts, texts[1]]
    rendering.close()


async def test_html_too_large_to_keep_is_still_returned(renderer: Renderer) -> None:
    rendering = Rendering(renderer, kept_bytes=10)
    assert await rendering.html("a" * 100) == f"<{'a' * 100}>"
    assert await rendering.html("a" * 100) == f"<{'a' * 100}>"
    assert len(renderer.texts) == 2
    rendering.close()


async def test_a_failure_is_not_kept() -> None:
    failures = [ValueError("broken")]

    def fail_once(text: str) -> SafeString:
        if failures:
            raise failures.pop()
        return SafeString(text)

    rendering = Rendering(fail_once)
    with pytest.raises(ValueError, match="broken"):
        await rendering.html("a")
    assert await rendering.html("a") == "a"
    rendering.close()


async def test_closing_drops_the_texts_that_wait(rendering: Rendering, renderer: Renderer) -> None:
    renderer.go.clear()
    first, second = (asyncio.create_task(rendering.html(text)) for text in "ab")
    await asyncio.to_thread(renderer.begun.wait)
    rendering.close()
    renderer.go.set()
    assert await first == "<a>"
    with pytest.raises(asyncio.CancelledError):
        await second
    assert renderer.texts == ["a"]


@pytest.mark.django_db(transaction=True)
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


@pytest.mark.django_db(transaction=True)
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
