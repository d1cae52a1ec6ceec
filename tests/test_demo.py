"""The built-in model."""

import pytest

from chat import demo
from chat.completions import CompletionError, CutOff, Event, Stalled, Unavailable
from chat.demo import Demo
from chat.events import Delta, Finished, Opened, Reasoning


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    for pace in ("PACE", "SLOW_PACE", "SLOW_START"):
        monkeypatch.setattr(demo, pace, 0)


async def ask(
    question: str, *, begun: str = "", commands: bool = True, events: list[Event] | None = None
) -> list[Event]:
    """All events of one answer, or of what follows `begun`; `events` has those that came before an error."""
    events = [] if events is None else events
    messages = [{"role": "user", "content": question}]
    if begun:
        messages.append({"role": "assistant", "content": begun})
    async for some in Demo(commands, gap=0).stream("demo", messages):
        events += some
    return events


def text(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, Delta))


def thought(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, Reasoning))


@pytest.mark.parametrize("question", ["Hello", "/slow", "tell me about /fail", "/fail now", "/unknown"])
async def test_it_thinks_and_answers_word_by_word(question: str) -> None:
    events = await ask(question)
    assert isinstance(events[0], Opened)
    assert events[-1] == Finished("stop", None)
    assert thought(events) == demo.THOUGHT
    assert text(events) == demo.ANSWER
    for shown in ("**demo model**", "| :-- |", "1. Press", "```python", "> Nothing"):
        assert shown in text(events)


@pytest.mark.parametrize(
    ("question", "kind", "begun"), [("/fail", Unavailable, False), ("/cut", CutOff, True), ("/stall", Stalled, True)]
)
async def test_a_command_makes_it_go_wrong(question: str, kind: type[CompletionError], begun: bool) -> None:
    events: list[Event] = []
    with pytest.raises(kind):
        await ask(question, events=events)
    assert bool(text(events)) == begun
    assert demo.ANSWER.startswith(text(events))


@pytest.mark.parametrize(("question", "words"), [("/long 25", 25), ("/long", 2000), (" /long 3 \n", 3)])
async def test_a_command_makes_the_answer_long(question: str, words: int) -> None:
    written = text(await ask(question)).split()
    assert written[-2:] == ["word", str(words)]
    assert len(written) == 2 * words


@pytest.mark.parametrize("question", ["Hello", "/long 30"])
@pytest.mark.parametrize("place", [1, 7, 50])
async def test_it_continues_an_answer_that_broke_off(question: str, place: int) -> None:
    whole = text(await ask(question))
    rest = await ask(question, begun=whole[:place])
    assert whole[:place] + text(rest) == whole
    assert thought(rest) == ""


async def test_without_commands_a_command_is_a_question() -> None:
    assert text(await ask("/fail", commands=False)) == demo.ANSWER
