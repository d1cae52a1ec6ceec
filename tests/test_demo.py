"""The built-in model."""

import pytest
from pytest_django import Settings

from chat import demo
from chat.completions import CompletionError, CutOff, Event, Stalled, Unavailable
from chat.events import Delta, Finished, Opened, Reasoning


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    settings.DEBUG = True
    settings.CHAT_GAP_SECONDS = 0
    for pace in ("PACE", "SLOW_PACE", "SLOW_START"):
        monkeypatch.setattr(demo, pace, 0)


async def ask(question: str, events: list[Event] | None = None) -> list[Event]:
    events = [] if events is None else events
    async for some in demo.stream([{"role": "user", "content": question}]):
        events += some
    return events


def text(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, Delta))


@pytest.mark.parametrize("question", ["Hello", "/slow", "tell me about /fail", "/fail now", "/unknown"])
async def test_it_thinks_and_answers_word_by_word(question: str) -> None:
    events = await ask(question)
    assert isinstance(events[0], Opened)
    assert events[-1] == Finished("stop", None)
    assert "".join(event.text for event in events if isinstance(event, Reasoning)) == demo.THOUGHT
    assert text(events) == demo.ANSWER
    for shown in ("**demo model**", "| :-- |", "1. Press", "```python", "> Nothing"):
        assert shown in text(events)


@pytest.mark.parametrize(
    ("question", "kind", "begun"), [("/fail", Unavailable, False), ("/cut", CutOff, True), ("/stall", Stalled, True)]
)
async def test_it_can_be_asked_to_go_wrong(question: str, kind: type[CompletionError], begun: bool) -> None:
    events: list[Event] = []
    with pytest.raises(kind):
        await ask(question, events)
    assert bool(text(events)) == begun
    assert demo.ANSWER.startswith(text(events))


@pytest.mark.parametrize(("question", "words"), [("/long 25", 25), ("/long", 2000), (" /long 3 \n", 3)])
async def test_it_can_be_asked_for_a_long_answer(question: str, words: int) -> None:
    written = text(await ask(question)).split()
    assert written[-2:] == ["word", str(words)]
    assert len(written) == 2 * words


@pytest.mark.parametrize("question", ["Hello", "/long 30"])
@pytest.mark.parametrize("place", [1, 7, 50])
async def test_it_goes_on_where_an_answer_was_broken_off(question: str, place: int) -> None:
    whole = text(await ask(question))
    messages = [{"role": "user", "content": question}, {"role": "assistant", "content": whole[:place]}]
    events = [event async for some in demo.stream(messages) for event in some]
    assert whole[:place] + text(events) == whole
    assert not [event for event in events if isinstance(event, Reasoning)]


async def test_without_debug_it_takes_no_orders(settings: Settings) -> None:
    settings.DEBUG = False
    assert text(await ask("/fail")) == demo.ANSWER
