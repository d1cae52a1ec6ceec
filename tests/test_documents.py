"""A conversation as a document."""

import json
from datetime import UTC, datetime

import pytest

from chat.documents import DOCUMENTS, Document
from chat.models import Conversation, Message, Reply

NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)
CONVERSATION = Conversation(title="Two and two", model="small", created=NOON, updated=NOON)


def question(text: str) -> Message:
    return Message(conversation=CONVERSATION, role=Message.Role.USER, text=text, created=NOON)


def answer(to: Message, text: str, **fields: object) -> Message:
    message = Message(conversation=CONVERSATION, parent=to, role=Message.Role.ASSISTANT, text=text, created=NOON)
    message.reply = Reply(**{"message": message, "model": "small", "status": Reply.Status.COMPLETE, **fields})
    return message


def written(document: Document, *messages: Message) -> str:
    return "".join([document.begin(CONVERSATION), *map(document.message, messages), document.end()])


def test_markdown_has_authors_times_and_texts_as_written() -> None:
    asked = question("What is **two**\nand two?\n")
    assert (
        written(DOCUMENTS["md"](), asked, answer(asked, "It is *four*."))
        == """# Two and two

## You, 26 November 2026, 12:00

What is **two**
and two?

## small, 26 November 2026, 12:00

It is *four*.
"""
    )


@pytest.mark.parametrize(
    ("fields", "ending"),
    [
        ({"status": Reply.Status.STOPPED}, "*Stopped.*"),
        ({"status": Reply.Status.STREAMING}, "*Still being written.*"),
        (
            {"status": Reply.Status.FAILED, "error_code": "stalled"},
            "*Cut short. The model stopped partway through.*",
        ),
    ],
)
def test_markdown_says_how_a_reply_ended(fields: dict[str, object], ending: str) -> None:
    asked = question("Hello")
    assert written(DOCUMENTS["md"](), asked, answer(asked, "Hel", **fields)).endswith(f"\n\nHel\n\n{ending}\n")


def test_json_has_all_that_is_known_of_each_message() -> None:
    asked = question('"\u2028\n</script>')
    answered = answer(asked, "four", reasoning="hm", usage={"total_tokens": 3}, finish_reason="stop", ended=NOON)
    answered.reply.feedback, answered.reply.feedback_reason = "bad", "It is 4."
    answered.reply.instructions, answered.reply.temperature, answered.reply.max_tokens = "Count.", 0.5, 500
    document = json.loads(written(DOCUMENTS["json"](), asked, answered))
    assert document.pop("messages") == [
        {"id": str(asked.pk), "parent": None, "role": "user", "created": NOON.isoformat(), "text": asked.text},
        {
            "id": str(answered.pk),
            "parent": str(asked.pk),
            "role": "assistant",
            "created": NOON.isoformat(),
            "text": "four",
            "model": "small",
            "instructions": "Count.",
            "temperature": 0.5,
            "max_tokens": 500,
            "status": "complete",
            "finish_reason": "stop",
            "error": "",
            "reasoning": "hm",
            "usage": {"total_tokens": 3},
            "ended": NOON.isoformat(),
            "feedback": "bad",
            "feedback_reason": "It is 4.",
        },
    ]
    assert document["title"] == "Two and two"


@pytest.mark.parametrize("suffix", DOCUMENTS)
def test_a_document_that_broke_off_does_not_look_whole(suffix: str) -> None:
    document = DOCUMENTS[suffix]()
    part = document.begin(CONVERSATION) + document.message(question("Hello")) + document.incomplete()
    if suffix == "json":
        with pytest.raises(json.JSONDecodeError):
            json.loads(part)
    else:
        assert "The rest is missing" in part
