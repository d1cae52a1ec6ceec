"""Search over conversations."""

import pytest

from chat.models import Conversation, Message, Reply, User
from chat.search import search


@pytest.fixture(autouse=True)
def _conversations(alice: User, bob: User) -> None:
    for owner, title, texts in [
        (alice, "Soup for six", ["How much salt?", "Two **spoons**, 100% of it."]),
        (alice, "Überraschung", ["Was schenke ich?", "Ein Buch über KÄSE (und a.b)."]),
        (bob, "Salt mines", ["Where are they?", "In Wieliczka."]),
    ]:
        conversation = Conversation.objects.create(owner=owner, title=title, model="demo")
        for text in texts:
            conversation.messages.create(role=Message.Role.USER, text=text)


def found(words: str) -> set[str]:
    return {conversation.title for conversation in search(Conversation.objects.all(), words)}


@pytest.mark.parametrize(
    ("words", "titles"),
    [
        ("mines", {"Salt mines"}),
        ("spoons", {"Soup for six"}),
        ("bob", {"Salt mines"}),
        ("alice@example.org", {"Soup for six", "Überraschung"}),
        ("salt", {"Soup for six", "Salt mines"}),
        ("nowhere", set()),
    ],
    ids=["title", "message", "username", "address", "title or message", "nothing"],
)
def test_a_word_is_found(words: str, titles: set[str]) -> None:
    assert found(words) == titles


def test_a_queued_question_is_found() -> None:
    conversation = Conversation.objects.get(title="Soup for six")
    answer = conversation.messages.create(role=Message.Role.ASSISTANT)
    Reply.objects.create(message=answer, model="demo")
    answer.queued.create(text="And PEPPER?", model="demo")
    assert found("pepper") == found("salt pepper") == {"Soup for six"}
    assert found("pepper mines") == set()


def test_every_word_must_be_in_the_conversation() -> None:
    assert found("alice salt soup") == {"Soup for six"}
    assert found("soup wieliczka") == set()


@pytest.mark.parametrize("words", ["SPOONS", "spoOns", "SOUP Alice"])
def test_case_does_not_matter(words: str) -> None:
    assert found(words) == {"Soup for six"}


@pytest.mark.parametrize("words", ["käse", "KÄSE", "überraschung", "ÜBERR"])
def test_case_does_not_matter_beyond_ascii(words: str) -> None:
    assert found(words) == {"Überraschung"}


@pytest.mark.parametrize(("words", "titles"), [("100%", {"Soup for six"}), ("1%0", set()), ("sou_", set())])
def test_wildcards_are_plain_text(words: str, titles: set[str]) -> None:
    assert found(words) == titles


@pytest.mark.parametrize("words", ["ü.erraschung", "(ü", "ü+", "ä\\"])
def test_regular_expressions_are_plain_text(words: str) -> None:
    assert found(words) == set()


@pytest.mark.parametrize("words", ["", "   "])
def test_an_empty_search_finds_everything(words: str) -> None:
    assert len(found(words)) == 3


def test_a_conversation_is_found_once() -> None:
    assert len(search(Conversation.objects.all(), "e")) == 3


def test_only_the_given_conversations_are_searched(bob: User) -> None:
    assert [conversation.title for conversation in search(Conversation.objects.for_user(bob), "salt")] == ["Salt mines"]


@pytest.mark.parametrize("words", ["a " * 5_000, "a" * 100_000, "ä" * 100_000], ids=["words", "word", "letters"])
def test_long_searches_do_no_harm(words: str) -> None:
    found(words)
