"""Asking in the three forms of the HTTP API, over a real socket."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from chat import sse
from chat.models import Message, Reply
from tests.server import Server, SharedServers
from tests.upstream import Upstream
from tests.visitor import Visitor


@pytest.fixture
async def alice(server: Server) -> AsyncIterator[Visitor]:
    async with Visitor(server, "alice") as alice:
        yield alice


async def test_a_form_is_redirected_to_the_conversation(server: Server, alice: Visitor) -> None:
    response = await alice.post("/c/", accept="text/html", text="/long 3\r\nplease")
    assert response.status_code == 303
    answer = server.database.run(lambda: Message.objects.select_related("conversation").get(role="assistant"))
    assert response.headers["location"] == f"{answer.conversation.get_absolute_url()}#message-{answer.pk}"
    assert server.database.run(lambda: Message.objects.get(role="user").text) == "/long 3\nplease"
    page = await alice.client.get(response.headers["location"], headers={"accept": "text/html"})
    assert '<meta http-equiv="refresh"' in page.text


async def test_a_program_gets_the_urls_of_its_reply(alice: Visitor) -> None:
    response = await alice.post("/c/", text="/long 3")
    assert response.status_code == 201
    answer = response.json()
    conversation, reply = answer["conversation"], answer["reply"]
    assert conversation["url"] == f"/c/{conversation['id']}/"
    assert reply["events_url"] == f"/replies/{reply['id']}/events/"
    assert reply["stop_url"] == f"/replies/{reply['id']}/stop/"
    response = await alice.client.post(
        f"{conversation['url']}messages/",
        json={"text": "And?", "parent": reply["id"]},
        headers={"accept": "application/json"},
    )
    # It may still be written, as nobody has waited for it.
    assert response.status_code in (201, 409)


async def test_a_question_can_be_answered_by_its_event_stream(alice: Visitor) -> None:
    decoder = sse.Decoder()
    response = await alice.post("/c/", accept="text/event-stream", text="/long 5")
    assert response.headers["content-type"] == "text/event-stream"
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["x-accel-buffering"] == "no"
    events = decoder.feed(response.content)
    assert [events[0].event, events[-1].event] == ["reply", "end"]
    assert "events_url" in events[0].data
    assert response.content.startswith(b"retry: 2000\n\n")


async def test_another_model_tries_again(share_server: SharedServers, upstream: Upstream) -> None:
    server = share_server(OPENAI_BASE_URL=upstream.url, OPENAI_MODEL="small,large")
    async with Visitor(server, "alice") as alice:
        reply = await alice.ask("Hello?")
        await alice.whole(reply)
        url = f"/replies/{reply['id']}/retry/"
        refused = await alice.post(url, model="unheard-of")
        assert (refused.status_code, refused.json()["error"]["code"]) == (422, "unknown_model")
        for chosen, model in [({"model": "large"}, "large"), ({}, "small")]:
            answer = (await alice.post(url, **chosen)).json()["reply"]
            await alice.whole(answer)
            asked = server.database.run(lambda: list(Reply.objects.order_by("asked").values_list("model", flat=True)))
            assert asked[-1] == model


async def test_one_of_two_simultaneous_questions_is_accepted(server: Server, alice: Visitor) -> None:
    reply = await alice.ask("/long 1")
    await alice.whole(reply)
    url = f"{reply['conversation']['url']}messages/"

    responses = await asyncio.gather(alice.post(url, text="/slow"), alice.post(url, text="/slow"))
    assert sorted(response.status_code for response in responses) == [201, 409]
    assert server.database.run(Message.objects.count) == 4
