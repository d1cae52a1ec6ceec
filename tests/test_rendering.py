"""The HTML of answers: where it is made, how often, and how much of it is kept."""

import asyncio
import threading
from collections.abc import Iterator
from sys import getsizeof

import pytest
from django.utils.safestring import SafeString

from chat.models import Conversation, Message, Reply, User
from chat.rendering import BUSY, Rendering
from tests.server import Server
from tests.visitor import Visitor

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
        if not self.go.wait(10):
            raise TimeoutError
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


async def test_answers_get_their_html() -> None:
    rendering = Rendering()
    messages = [Message(role=USER, text="*a*"), Message(role=ASSISTANT, text="*b*")]
    await rendering.show(messages)
    assert messages[1].html == '<p dir="auto"><em>b</em></p>\n'
    assert not hasattr(messages[0], "html")
    rendering.close()


async def test_a_text_is_rendered_once(rendering: Rendering, renderer: Renderer) -> None:
    renderer.go.clear()
    waiting = [asyncio.create_task(rendering.html("a")) for _ in range(6)]
    await asyncio.to_thread(renderer.begun.wait)
    renderer.go.set()
    assert await asyncio.gather(*waiting) == ["<a>"] * 6
    assert await rendering.html("a") == "<a>"
    assert renderer.texts == ["a"]


async def test_a_thread_of_its_own_renders(rendering: Rendering, renderer: Renderer) -> None:
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


# A quote looks ahead for lines that it then does not take, so this uses up the time for one text.
EXPENSIVE = "> # a\nb\n" * 12_000


async def test_an_expensive_reply_keeps_no_page_from_others(server: Server) -> None:
    async with Visitor(server, "alice") as alice, Visitor(server, "bob") as bob:
        address = server.database.run(expensive_conversation)
        pages = [asyncio.create_task(alice.client.get(address, timeout=60)) for _ in range(12)]
        await asyncio.sleep(0.1)
        assert (await bob.client.get("/history/", timeout=60)).status_code == 200
        assert not any(page.done() for page in pages)
        for page in await asyncio.gather(*pages):
            assert '<pre class="plain"' in page.text


def expensive_conversation() -> str:
    """The address of a conversation of Alice's with a reply that nobody has seen yet."""
    conversation = Conversation.objects.create(owner=User.objects.get(username="alice"), title="a", model="demo")
    question = conversation.messages.create(role=USER, text="a")
    conversation.leaf = conversation.messages.create(role=ASSISTANT, text=EXPENSIVE, parent=question)
    Reply.objects.create(message=conversation.leaf, model="demo", status=Reply.Status.COMPLETE)
    conversation.save()
    return conversation.get_absolute_url()
