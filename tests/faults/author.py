"""The endpoint's part in the kill loop: it writes what questions ask for."""

import re
from collections import Counter, defaultdict

from chat.generation import CONTINUE
from tests.faults.evidence import Question
from tests.upstream import Request, Response, Step, done, error, finish, reasoning, sleep, text

# As chat/titles.py shows a question to the model.
SHOWN_FOR_A_TITLE = re.compile(r"<question>\n(.*)\n</question>")
TITLE_SECONDS = 0.5


class Author:
    """Writes what a question asks for, and continues right after the beginning that it is given."""

    def __init__(self) -> None:
        self._answers: defaultdict[str, list[Answer]] = defaultdict(list)
        # How often it was asked for a title, by the names of the questions that it was shown.
        self.titles: Counter[str] = Counter()

    def __call__(self, request: Request) -> list[Step]:
        if shown := SHOWN_FOR_A_TITLE.search(request.body["messages"][-1]["content"]):
            return self._title(Question.read(shown[1]))
        messages = [message for message in request.body["messages"] if message["content"] != CONTINUE]
        question = Question.read([message["content"] for message in messages if message["role"] == "user"][-1])
        last = messages[-1]
        begun = last["content"] if last["role"] == "assistant" else ""
        if not question.text.startswith(begun):
            return error(400, {"error": {"message": "This is not how the answer begins."}})
        self._answers[question.name].append(answer := Answer(request))
        thoughts = [] if begun else [reasoning(word) for word in words(question.reasoning)]
        pieces = [*thoughts, *(text(word) for word in words(question.text.removeprefix(begun)))]
        paced = [step for piece in pieces for step in (piece, sleep(question.pause_seconds))]
        return [sleep(question.first_seconds), *paced, finish(), done(), answer.end]

    def _title(self, question: Question) -> list[Step]:
        self.titles[question.name] += 1
        # Long enough for its process to die meanwhile.
        return [sleep(TITLE_SECONDS), text(question.title), finish(), done()]

    def left_open(self, question: Question) -> int:
        return sum(not answer.over for answer in self._answers[question.name])


class Answer:
    def __init__(self, request: Request) -> None:
        self._request = request
        self._ended = False

    async def end(self, _response: Response) -> None:
        self._ended = True

    @property
    def over(self) -> bool:
        """Whether all of it was sent, or the client has left."""
        return self._ended or self._request.closed.done()


def words(text: str) -> list[str]:
    return re.findall(r"\S* |\S+", text)
