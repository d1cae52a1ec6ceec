"""What is found, on whichever database these tests run."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chat import asking, queued, search
from chat.models import Conversation, Message, QueuedQuestion, Reply, Searchable, User
from chat.models.searchable import key_at
from chat.search import END, finding, postgresql
from chat.search.query import NotSearchable
from tests import endings

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def write(alice: User) -> Callable[..., list[Message]]:
    """Stores questions in a conversation of Alice's, a minute apart, and makes them searchable."""

    def write(*texts: str, owner: User = alice, title: str = "") -> list[Message]:
        conversation = Conversation.objects.create(owner=owner, title=title, model="demo", created=NOON)
        messages = [
            conversation.messages.create(role="user", text=text, created=NOON + timedelta(minutes=1 + index))
            for index, text in enumerate(texts)
        ]
        Searchable.objects.put([Searchable.of_title(conversation), *map(Searchable.of_message, messages)])
        return messages

    return write


def found(text: str, owner: User) -> list[str]:
    """The texts that the owner finds, the newest first."""
    rows = Searchable.objects.for_user(owner)
    return [row.text for row in search.newest(rows, search.parse(text), owner.pk, 100).rows]


TEXTS = {
    "soup": "Soup for six: how much salt?",
    "spoons": "Two **spoons** of salt, 100% of it.",
    "käse": "Ein Buch über KÄSE (und a.b).",
    "tower": "東京都の猫はどこ？",
    "accents": "Une crème brûlée pour Zoë",
    "mines": "The salt of the mines. The mines of salt.",
}


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("salt", {"soup", "spoons", "mines"}),
        ("SALT", {"soup", "spoons", "mines"}),
        ("sal", {"soup", "spoons", "mines"}),
        ("sal much", set()),
        ("sal* much", {"soup"}),
        ("spo* sal* 100", {"spoons"}),
        ('"two spo*" salt', {"spoons"}),
        ('"of min*" salt', set()),
        ("salt -spo*", {"soup", "mines"}),
        ('salt -"of sal*"', {"soup"}),
        ("alt", set()),
        ("salt soup", {"soup"}),
        ("kase", {"käse"}),
        ("Käse", {"käse"}),
        ("uber", {"käse"}),
        ("a.b", {"käse"}),
        ("zoe brul", {"accents"}),
        ('"two spoons"', {"spoons"}),
        ('"spoons two"', set()),
        ('"two spoo', {"spoons"}),
        ('"of salt"', {"spoons", "mines"}),
        ('"salt of"', {"mines"}),
        ("salt -soup", {"spoons", "mines"}),
        ('salt -"of salt"', {"soup"}),
        ('salt -"of salt" -soup', set()),
        ("東京", {"tower"}),
        ("京都", {"tower"}),
        ("東京都の", {"tower"}),
        ("京", {"tower"}),
        ("猫", {"tower"}),
        ("こ", {"tower"}),
        ("都東", set()),
        ("京東", set()),
        ("100%", {"spoons"}),
        ("nowhere", set()),
    ],
)
def test_words_find_texts(write: Callable[..., list[Message]], alice: User, text: str, names: set[str]) -> None:
    write(*TEXTS.values())
    assert set(found(text, alice)) == {TEXTS[name] for name in names}


@pytest.mark.parametrize(
    "text", ["'; DROP TABLE x --", "a* OR b", "a AND NOT (", "a:b ^c {d}", "x\\' \\", "ﷺ ½ ㍿ ﱞ", "NEAR(a b)"]
)
def test_signs_mean_nothing(write: Callable[..., list[Message]], alice: User, text: str) -> None:
    write("Nothing of this")
    assert found(text, alice) == []


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=60))
def test_any_text_is_found_by_itself(write: Callable[..., list[Message]], alice: User, text: str) -> None:
    with transaction.atomic():
        write(text)
        try:
            assert text in found(f'"{text.replace('"', " ")}"', alice)
        except NotSearchable:
            assert not Searchable.objects.exclude(words="").exists()
        transaction.set_rollback(True)


def test_the_newest_come_first(write: Callable[..., list[Message]], alice: User) -> None:
    write("salt 1", "salt 2", "salt 3")
    assert found("salt", alice) == ["salt 3", "salt 2", "salt 1"]


def test_titles_are_found(write: Callable[..., list[Message]], alice: User) -> None:
    write("Anything", title="Überraschung")
    assert found("uberr", alice) == ["Überraschung"]


def test_nobody_finds_what_belongs_to_others(write: Callable[..., list[Message]], alice: User, bob: User) -> None:
    write("salt", title="salt")
    write("salt mines", owner=bob)
    assert found("salt", bob) == ["salt mines"]
    # Even where the index is asked for somebody else's texts.
    rows = Searchable.objects.for_user(bob)
    assert search.newest(rows, search.parse("salt"), alice.pk, 100).rows == []


def test_results_come_in_portions(write: Callable[..., list[Message]], alice: User) -> None:
    write(*(f"salt {number}" for number in range(7)))
    rows, query = Searchable.objects.for_user(alice), search.parse("salt")
    first = search.newest(rows, query, alice.pk, 3)
    assert first.next
    second = search.newest(rows, query, alice.pk, 3, before=first.next)
    assert second.next
    third = search.newest(rows, query, alice.pk, 3, before=second.next)
    assert [row.text for row in [*first.rows, *second.rows, *third.rows]] == [f"salt {6 - index}" for index in range(7)]
    assert third.next is None


def test_texts_of_a_time_are_found(write: Callable[..., list[Message]], alice: User) -> None:
    write("salt 1", "salt 2", "salt 3")
    rows, second = Searchable.objects.for_user(alice), NOON + timedelta(minutes=2)
    found = search.newest(
        rows, search.parse("salt"), alice.pk, 9, since=key_at(second), before=key_at(second + timedelta(seconds=1))
    )
    assert [(row.text, row.created) for row in found.rows] == [("salt 2", second)]


def test_rows_that_are_rarely_wanted_are_found(
    write: Callable[..., list[Message]], alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finding, "KEYS_PER_ROW", 1)
    oldest, *_ = write(*(f"salt {number}" for number in range(20)))
    rows, query = Searchable.objects.for_user(alice).filter(message=oldest), search.parse("salt")
    assert [row.text for row in search.newest(rows, query, alice.pk, 2).rows] == ["salt 0"]
    # With a limit to how far one search looks; the next one goes on there.
    nothing = search.newest(rows, query, alice.pk, 2, most=3)
    assert nothing.rows == []
    assert nothing.next


def test_old_texts_are_found_with_the_newest(
    write: Callable[..., list[Message]], alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL looks at the newest first: here at two of them, then at all others."""
    monkeypatch.setattr(postgresql, "TEXTS_PER_KEY", 1)
    write("salt 1", "salt 2", "pepper", "sugar", "salt 3", "sugar")
    rows = Searchable.objects.for_user(alice)
    for count, numbers in ((1, [3]), (2, [3, 2]), (3, [3, 2, 1]), (9, [3, 2, 1])):
        found = search.newest(rows, search.parse("salt"), alice.pk, count)
        assert [row.text for row in found.rows] == [f"salt {number}" for number in numbers]
        assert (found.next is None) == (count >= len(numbers) and numbers[-1] == 1)


def test_titles_alone_are_found(write: Callable[..., list[Message]], alice: User, bob: User) -> None:
    write("salt", "salt", title="Salt of the earth")
    write("salt", title="Pepper")
    write("salt", title="Salt mines", owner=bob)
    rows = Searchable.objects.for_user(alice)
    titles = search.newest(rows, search.parse("salt"), alice.pk, 9, titles=True)
    assert [row.text for row in titles.rows] == ["Salt of the earth"]
    assert titles.next is None


# What is kept up to date


def test_a_question_and_its_answer_are_found(alice: User) -> None:
    reply = asking.begin(alice, "How much salt?", "demo")
    # The title and the question.
    assert found("salt", alice) == ["How much salt?"] * 2
    endings.end(reply, "Two spoons")
    assert found("spoons", alice) == ["Two spoons"]


def test_a_continued_answer_is_found_by_all_of_it(alice: User) -> None:
    reply = asking.begin(alice, "Salt?", "demo")
    endings.end(reply, "Two", "stopped")
    resumed = asking.resume(Reply.objects.get(pk=reply.pk), "demo")
    assert resumed
    endings.end(resumed, "Two spoons")
    assert found("two spoons", alice) == ["Two spoons"]
    assert Searchable.objects.filter(message=reply.pk).count() == 1


def test_an_answer_is_found_that_was_asked_before_there_was_an_index(alice: User) -> None:
    reply = asking.begin(alice, "Salt?", "demo")
    Searchable.objects.all().delete()
    endings.end(reply, "Two spoons")
    assert found("spoons", alice) == ["Two spoons"]


def test_a_conversation_is_found_by_its_new_title(alice: User) -> None:
    conversation = asking.begin(alice, "Salt?", "demo").message.conversation
    conversation.set_options(title="On pepper")
    assert found("pepper", alice) == ["On pepper"]
    assert found("salt", alice) == ["Salt?"]


def test_nothing_in_the_trash_is_found(write: Callable[..., list[Message]], alice: User) -> None:
    [message] = write("salt")
    assert len(found("salt", alice)) == 1
    Conversation.objects.filter(pk=message.conversation_id).update(trashed=NOON)
    assert found("salt", alice) == []


def test_a_queued_question_is_found_by_its_last_words(alice: User) -> None:
    conversation = asking.begin(alice, "Salt?", "demo").message.conversation
    question = queued.add(conversation, "And PEPPER?", "demo")
    assert found("pepper", alice) == ["And PEPPER?"]
    queued.edit(conversation, question.pk, "And thyme?")
    assert found("pepper", alice) == []
    assert found("thyme", alice) == ["And thyme?"]
    queued.withdraw(conversation, question.pk)
    assert found("thyme", alice) == []


def test_an_asked_question_is_found_once(alice: User) -> None:
    first = asking.begin(alice, "Salt?", "demo")
    queued.add(first.message.conversation, "And thyme?", "demo")
    endings.end(first, "Two spoons")
    queued.ask(QueuedQuestion.objects.all(), lambda person, model: model)
    assert found("thyme", alice) == ["And thyme?"]


def test_what_is_deleted_leaves_the_index(alice: User) -> None:
    asking.begin(alice, "How much salt?", "demo")
    Conversation.objects.all().delete()
    assert found("salt", alice) == []
    assert not Searchable.objects.exists()
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("SELECT COUNT(*) FROM chat_words WHERE chat_words MATCH 'salt'")
            assert cursor.fetchone() == (0,)
            # Raises an error when the index does not agree with the rows.
            cursor.execute("INSERT INTO chat_words (chat_words, rank) VALUES ('integrity-check', 1)")


def test_deleting_a_person_empties_their_index(write: Callable[..., list[Message]], alice: User) -> None:
    write("salt")
    alice.delete()
    assert not Searchable.objects.exists()


# Staff


def titles(text: str) -> set[str]:
    return {row.conversation.title for row in search.for_staff(Conversation.objects.all(), text).rows}


@pytest.fixture
def _conversations(write: Callable[..., list[Message]], bob: User) -> None:
    write("How much salt?", "Two spoons", title="Soup for six")
    write("Where are they?", "In Wieliczka, of salt", owner=bob, title="Salt mines")


@pytest.mark.usefixtures("_conversations")
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("salt", {"Soup for six", "Salt mines"}),
        ("mines", {"Salt mines"}),
        ("bob", {"Salt mines"}),
        ("alice@example.org", {"Soup for six"}),
        ("alice salt", {"Soup for six"}),
        ("salt -mines bob", {"Salt mines"}),
        ('bob "of salt"', {"Salt mines"}),
        ("alice wieliczka", set()),
        ("ali* salt", {"Soup for six"}),
        ("nowhere", set()),
    ],
)
def test_staff_find_conversations_of_all_people(text: str, expected: set[str]) -> None:
    assert titles(text) == expected


@pytest.mark.usefixtures("_conversations")
def test_staff_find_the_conversations_of_the_newest_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finding, "FOR_STAFF", 1)
    assert len(titles("salt")) == 1


@pytest.fixture
def bobs(write: Callable[..., list[Message]], bob: User, monkeypatch: pytest.MonkeyPatch) -> Conversation:
    """Bob's one conversation with a word that is in many newer texts of Alice's; a search looks at two texts."""
    write("salt", owner=bob, title="Bob's")
    write("sugar", *(f"salt {number}" for number in range(6)))
    monkeypatch.setattr(finding, "MOST", 2)
    monkeypatch.setattr(finding, "FOR_STAFF", 1)
    return Conversation.objects.get(owner=bob)


def test_staff_find_the_older_texts_of_an_owner(bobs: Conversation) -> None:
    listed = Conversation.objects.filter(owner=bobs.owner_id)
    assert [row.conversation for row in search.for_staff(listed, "salt", owner=bobs.owner_id).rows] == [bobs]


def test_a_search_of_staff_says_where_to_go_on(bobs: Conversation) -> None:
    listed, before, portions = Conversation.objects.filter(pk=bobs.pk), END, []
    while before:
        found = search.for_staff(listed, "salt", before=before)
        portions.append([row.conversation for row in found.rows])
        before = found.next or 0
    assert portions == [[], [], [], [bobs]]


def test_staff_find_all_there_is(bobs: Conversation) -> None:
    assert set(search.all_for_staff(Conversation.objects.filter(pk=bobs.pk), "salt")) == {bobs.pk}
    assert set(search.all_for_staff(Conversation.objects.all(), "salt")) == set(
        Conversation.objects.values_list("pk", flat=True)
    )
