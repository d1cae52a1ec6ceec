"""Answers and questions in processes: what one of them stores holds in the other, as far as they have room."""

from typing import Any
from uuid import UUID

import pytest

from chat.events import End
from chat.models import Conversation, QueuedQuestion, Reply, User
from tests.hosts import StartHost, stored
from tests.upstream import Upstream, finish, hang, text

JSON = {"accept": "application/json"}


async def post(client: Any, url: str, **fields: object) -> Any:
    return await client.post(url, fields, headers=JSON)


async def test_both_of_two_answers_are_taken_over_and_one_is_chosen(
    start_host: StartHost, upstream: Upstream, alice: User
) -> None:
    for _ in range(2):
        upstream.script(text("so far"), hang())
    here, there = await start_host(), await start_host()
    assert (await post(await here.browser(alice), "/c/", text="Hello?", also="small")).status_code == 201
    replies = [reply async for reply in Reply.objects.order_by("asked")]
    assert len(replies) == 2
    for reply in replies:
        await there.until(reply, "so far")
    await here.die()
    await there.reconcile()
    for reply in replies:
        assert (await there.read(reply))[0] == "so far"
        assert (await stored(reply)).status == "interrupted"
    client = await there.browser(alice)
    conversation = await Conversation.objects.aget()
    refused = await post(client, f"{conversation.get_absolute_url()}messages/", text="And?")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "answer_not_chosen")
    chosen = replies[1].pk
    assert (await post(client, f"{conversation.get_absolute_url()}branch/", message=chosen)).json() == {
        "leaf": str(chosen)
    }
    assert (await post(client, f"{conversation.get_absolute_url()}messages/", text="And?")).status_code == 201


async def test_another_process_knows_what_a_page_has_missed(
    start_host: StartHost, upstream: Upstream, alice: User
) -> None:
    here, there = await start_host(), await start_host()
    first, _ = await here.ask(alice)
    await here.read(first)
    url = f"{first.message.conversation.get_absolute_url()}messages/"
    upstream.script(text("Newer"), finish())
    newer = (await post(await here.browser(alice), url, text="And?", leaf=first.pk)).json()["reply"]["id"]
    client = await there.browser(alice)
    refused = await post(client, url, text="And then?", leaf=first.pk)
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "conversation_changed")
    await there.read(await Reply.objects.aget(pk=newer))
    assert (await post(client, url, text="And then?", leaf=newer)).status_code == 201


@pytest.mark.parametrize("again", ["/replies/{r}/retry/", "/questions/{q}/edit/"])
async def test_what_is_asked_again_outlives_its_process(
    start_host: StartHost, upstream: Upstream, alice: User, again: str
) -> None:
    here, there = await start_host(continuation="assistant"), await start_host(continuation="assistant")
    first, _ = await here.ask(alice)
    await here.read(first)
    upstream.script(text("one "), hang())
    upstream.script(text("two"), finish())
    url = again.format(r=first.pk, q=first.message.parent_id)
    pk = (await post(await here.browser(alice), url, text="Hello again?")).json()["reply"]["id"]
    reply = await Reply.objects.aget(pk=pk)
    await there.until(reply, "one ")
    await here.die()
    await there.reconcile()
    assert await there.read(reply) == ("one two", End("complete", "stop"))


async def test_one_answer_is_stopped_though_the_other_is_not(
    start_host: StartHost, upstream: Upstream, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        upstream.script(text("so far"), hang())
    host = await start_host()
    client = await host.browser(alice)
    assert (await post(client, "/c/", text="Hello?", also="small")).status_code == 201
    first, second = [reply async for reply in Reply.objects.order_by("asked")]
    await host.until(second, "so far")
    stop = host.stop

    async def stop_second(reply_id: UUID) -> None:
        if reply_id == first.pk:
            raise TimeoutError
        await stop(reply_id)

    monkeypatch.setattr(host, "stop", stop_second)
    refused = await post(client, f"/replies/{first.pk}/stop/", also=second.pk)
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "not_stopped")
    assert (await stored(second)).status == "stopped"
    assert (await stored(first)).is_running


async def test_two_answers_need_room_for_two(start_host: StartHost, alice: User) -> None:
    host = await start_host(running=1, queued=0)
    client = await host.browser(alice)
    refused = await post(client, "/c/", text="Hello?", also="small")
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "busy")
    page: Any = await client.post("/c/", {"text": "my words", "also": "small"})
    assert (page.status_code, page["retry-after"]) == (503, "5")
    assert "Nothing is lost. Try again in a few seconds." in page.text
    assert "my words</textarea>" in page.text
    assert (await post(client, "/c/", text="Hello?")).status_code == 201


async def test_a_full_process_stops_no_reply_for_a_queued_question(
    start_host: StartHost, upstream: Upstream, alice: User
) -> None:
    upstream.script(text("so far"), hang())
    host = await start_host(running=1, queued=0)
    client = await host.browser(alice)
    asked = (await post(client, "/c/", text="Hello?")).json()
    reply = await Reply.objects.aget(pk=asked["reply"]["id"])
    await host.until(reply, "so far")
    queue = f"{asked['conversation']['url']}queue/"
    queued = (await post(client, queue, text="And?")).json()["queued"]["id"]
    send = f"{queue}{queued}/send/"
    refused = await post(client, send)
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "busy")
    page: Any = await client.post(send)
    assert "Nothing is lost. Try again in a few seconds." in page.text
    assert (await stored(reply)).is_running
    assert (await QueuedQuestion.objects.aget()).text == "And?"
    assert (await post(client, f"/replies/{reply.pk}/stop/")).json() == {"status": "stopped"}
    assert (await post(client, send)).status_code == 201
