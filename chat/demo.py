"""The built-in model: answers without a network, so that Parley can be tried at once and every state of it be seen."""

import asyncio
import re
from collections.abc import AsyncGenerator, Iterator
from itertools import batched

from django.conf import settings

from chat.completions import CutOff, Event, Stalled, Unavailable
from chat.events import Delta, Finished, Opened, Reasoning

# Between two words, in seconds.
PACE = 0.04
SLOW_PACE = 0.6
SLOW_START = 8.0
LONGEST = 200_000
WORDS_AT_ONCE = 10

# What a question may ask for while DEBUG is on.
COMMAND = re.compile(r"/(fail|cut|slow|long|stall)(?:\s+(\d{1,6}))?\s*$")

THOUGHT = """\
The person wrote to the demo model. I have no network and no knowledge, so an honest answer shows what a reply can \
look like: prose, a list, a table and some code. I will say who I am first."""

ANSWER = """\
I am Parley's built-in **demo model**. I do not understand what you write; I only show how a reply arrives: word by \
word, stored before you see it. Reload this page now and you will find every word again.

## Things to try

1. Press **Stop**: the text never grows after that.
2. Open this conversation in a second tab and watch both.
3. Close the tab. The reply goes on without you.

| What you see | What it means |
| :-- | :-- |
| a caret | the reply is being written |
| *Stopped* | you ended it; the text so far is kept |
| *Interrupted* | the connection to the model was lost; you can retry |

To talk to a real model, set three values and start again:

```sh
OPENAI_BASE_URL=https://api.openai.com/v1
OPENAI_API_KEY=your-key
OPENAI_MODEL=gpt-5-mini
```

Any server that speaks the same protocol will do. A client for it is short:

```python
import httpx


def ask(question: str) -> str:
    \"\"\"Return the model's whole answer.\"\"\"
    body = {"model": "demo", "messages": [{"role": "user", "content": question}]}
    answer = httpx.post("http://localhost:8080/v1/chat/completions", json=body)
    return answer.json()["choices"][0]["message"]["content"]
```

> Nothing that you have read here is ever lost.
"""


class Demo:
    """Answers like an endpoint."""

    def stream(self, model: str, messages: list[dict[str, str]], way: str = "none") -> AsyncGenerator[list[Event]]:
        return stream(messages)

    async def aclose(self) -> None:
        """There is nothing to close."""


async def stream(messages: list[dict[str, str]]) -> AsyncGenerator[list[Event]]:
    """Answer the last question like `completions.Endpoint.stream` does, or continue an answer that has begun."""
    begun = messages[-1]["content"] if messages[-1]["role"] == "assistant" else ""
    command, count = _command(messages[-2 if begun else -1]["content"])
    if command == "fail":
        raise Unavailable
    if command == "slow" and not begun:
        await asyncio.sleep(SLOW_START)
    yield [Opened("demo")]
    pace = SLOW_PACE if command == "slow" else PACE
    words, at_once = (_long(count or 2000), WORDS_AT_ONCE) if command == "long" else (_words(ANSWER), 1)
    for word in _words(THOUGHT) if not begun and command != "long" else ():
        yield [Reasoning(word)]
        await asyncio.sleep(pace / 2)
    for number, some in enumerate(batched(_behind(begun, words), at_once)):
        if number == 20 and command == "cut":
            raise CutOff
        if number == 20 and command == "stall":
            await asyncio.sleep(settings.CHAT_GAP_SECONDS)
            raise Stalled
        yield [Delta(word) for word in some]
        await asyncio.sleep(pace)
    yield [Finished("stop", None)]


def _command(question: str) -> tuple[str, int]:
    found = COMMAND.match(question.strip()) if settings.DEBUG else None
    return (found[1], int(found[2] or 0)) if found else ("", 0)


def _words(text: str) -> Iterator[str]:
    """The text in words, each with the space before it."""
    return (match[0] for match in re.finditer(r"\s*\S+\s*$|\s*\S+", text))


def _long(count: int) -> Iterator[str]:
    """Many numbered words, a paragraph a hundred."""
    for number in range(1, min(count, LONGEST) + 1):
        yield f"word {number}{'\n\n' if number % 100 == 0 else ' '}"


def _behind(begun: str, words: Iterator[str]) -> Iterator[str]:
    """What is left of the words behind as many characters as the answer has already."""
    left = len(begun)
    for word in words:
        if len(word) > left:
            yield word[left:]
        left = max(0, left - len(word))
