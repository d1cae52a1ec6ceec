"""The built-in model: it answers without a network, so that people can try Parley at once and see every state of it."""

import asyncio
import re
from collections.abc import AsyncGenerator, Iterator
from itertools import batched

from chat.completions import DEFAULTS, CutOff, Event, Parameters, Stalled, Unavailable
from chat.events import Delta, Finished, Opened, Reasoning

# Seconds between two words.
PACE = 0.04
SLOW_PACE = 0.6
# Seconds before the first word of /slow.
SLOW_START = 8.0
# /cut and /stall break off after this many words.
BREAK = 20
# /long writes this many words unless told otherwise, at most LONGEST, some at once.
LONG = 2000
LONGEST = 200_000
WORDS_AT_ONCE = 10

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
3. Close the tab. The reply continues without you.

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

Any server that speaks the same protocol works. A client for it is short:

```python
import httpx


def ask(question: str) -> str:
    \"\"\"Return the model's whole answer.\"\"\"
    body = {"model": "demo", "messages": [{"role": "user", "content": question}]}
    answer = httpx.post("http://localhost:8080/v1/chat/completions", json=body)
    return answer.json()["choices"][0]["message"]["content"]
```

> Nothing you have read here is ever lost.
"""


class Demo:
    """Answers like `completions.Endpoint`.

    With `commands`, questions such as /cut make it misbehave; /stall falls silent for `gap` seconds.
    """

    def __init__(self, commands: bool, gap: float) -> None:
        self._commands = commands
        self._gap = gap

    async def stream(
        self,
        model: str,
        messages: list[dict[str, str]],
        continuation: str = "none",
        parameters: Parameters = DEFAULTS,
    ) -> AsyncGenerator[list[Event]]:
        """Yield the answer to the last question, or the rest of it if its beginning is the last message."""
        begun = messages[-1]["content"] if messages[-1]["role"] == "assistant" else ""
        command, count = self._command(messages[-2 if begun else -1]["content"])
        if command == "fail":
            raise Unavailable
        if command == "slow" and not begun:
            await asyncio.sleep(SLOW_START)
        yield [Opened("demo")]
        pace = SLOW_PACE if command == "slow" else PACE
        words, at_once = (_long(count or LONG), WORDS_AT_ONCE) if command == "long" else (_words(ANSWER), 1)
        for word in _words(THOUGHT) if not begun and command != "long" else ():
            yield [Reasoning(word)]
            await asyncio.sleep(pace / 2)
        for number, some in enumerate(batched(_rest(words, begun), at_once)):
            if number == BREAK and command == "cut":
                raise CutOff
            if number == BREAK and command == "stall":
                await asyncio.sleep(self._gap)
                raise Stalled
            yield [Delta(word) for word in some]
            await asyncio.sleep(pace)
        yield [Finished("stop", None)]

    async def aclose(self) -> None:
        """Do nothing: there are no connections."""

    def _command(self, question: str) -> tuple[str, int]:
        found = COMMAND.match(question.strip()) if self._commands else None
        return (found[1], int(found[2] or 0)) if found else ("", 0)


def _words(text: str) -> Iterator[str]:
    """The words of a text, each with the space before it."""
    return (match[0] for match in re.finditer(r"\s*\S+\s*$|\s*\S+", text))


def _long(count: int) -> Iterator[str]:
    """Numbered words in paragraphs of a hundred."""
    for number in range(1, min(count, LONGEST) + 1):
        yield f"word {number}{'\n\n' if number % 100 == 0 else ' '}"


def _rest(words: Iterator[str], begun: str) -> Iterator[str]:
    """What follows after as many characters as the answer already has."""
    left = len(begun)
    for word in words:
        if len(word) > left:
            yield word[left:]
        left = max(0, left - len(word))
