"""The page of the search, what the palette offers, and the way to a hit."""

import re
from datetime import UTC, datetime, timedelta
from html import unescape

import pytest
from django.utils import timezone, translation
from django.utils.formats import date_format
from pytest_django import DjangoAssertNumQueries

from chat import asking, queued, trash
from chat.models import Conversation, Reply, Searchable, User
from chat.views import pages
from tests.client import Client
from tests.views.conftest import end
from tests.views.test_documents import body

HOSTILE = "<script>alert(1)</script> & <mark>salt</mark>"


def search(client: Client, words: str, **query: str) -> str:
    response = client.get("/search/", {"q": words, **query})
    assert response.status_code == 200
    return str(response.text)


def results(html: str) -> list[str]:
    """The snippets on a page, with their hits in brackets."""
    found = re.findall(r'<span class="(?:result|offer)__text" dir="auto">(.*?)</span>', html)
    return [unescape(re.sub(r"</?mark>", lambda tag: "]" if "/" in tag[0] else "[", text)) for text in found]


def links(html: str) -> list[str]:
    return re.findall(r'class="result" href="([^"]+)"', html)


def test_the_page_says_what_can_be_searched(client: Client) -> None:
    html = client.get("/search/").text
    assert "All your titles, questions and answers are searched" in html
    assert 'class="form-error"' not in html.split("<main")[1]


def test_titles_questions_and_answers_are_found(client: Client, ended: Reply) -> None:
    html = search(client, "two")
    assert results(html) == ["What is [two] and [two]?"]
    assert "What is <mark>two</mark> and <mark>two</mark>?</a></h2>" in html
    assert results(search(client, "four")) == ["It is [four]."]


def test_queued_questions_are_found(client: Client, alice: User) -> None:
    reply = asking.begin(alice, "Salt?", "demo")
    question = queued.add(reply.message.conversation, "And thyme?", "demo")
    html = search(client, "thyme")
    assert results(html) == ["And [thyme]?"]
    place = client.get(links(html)[0]).headers["Location"]
    assert place.startswith(f"/c/{reply.message.conversation_id}/?find=thyme&hit=")
    assert place.endswith(f"#queued-{question.pk}")
    html = client.get(place).text
    assert "Hit 1 of 1" in html
    assert 'Queued question: <span dir="auto">And <mark>thyme</mark>?</span>' in html
    assert "Show its branch" not in html


def test_results_of_a_conversation_that_follow_each_other_share_its_title(client: Client, ended: Reply) -> None:
    end(asking.ask(ended.message.conversation, "And two more?", "demo"), "Two more is six.")
    assert search(client, "two").count("results__title") == 1


def test_a_conversation_shows_three_results_and_folds_the_others(client: Client, ended: Reply) -> None:
    for _ in range(4):
        ended = end(asking.ask(ended.message.conversation, "And salt?", "demo"), "None.")
    first, _, more = search(client, "salt").partition("<details")
    assert (len(links(first)), len(links(more))) == (3, 1)
    assert "1 more<span" in more
    assert "<details" not in search(client, "two")


def test_nothing_found_is_said(client: Client, ended: Reply) -> None:
    assert "Nothing was found. Try fewer words, or another spelling." in search(client, "nowhere")
    page = client.get("/search/?q=nowhere&since=2026-01-01").text
    assert "Nothing was found. Try fewer words, another spelling, or no filters." in page


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("***", "Write a word to look for."),
        ("-two", "so far there is only what you don&#x27;t want"),
        ("a" * 201, "too long for a search"),
        ("a a a a a a a a a a a a a", "Use at most twelve."),
    ],
)
def test_what_cannot_be_searched_is_said_at_the_field(client: Client, ended: Reply, words: str, sentence: str) -> None:
    html = search(client, words)
    assert re.search(rf'id="id_q_error">[^<]*{re.escape(sentence)}', html)
    assert 'aria-describedby="id_q_error"' in html
    # What was written stays.
    assert f'value="{words.strip()}"' in html


@pytest.mark.parametrize("day", ["31.3.2026", "2026-02-30", "0001-01-01", "9999-12-31", "x"])
def test_a_bad_day_is_said_at_the_field(client: Client, ended: Reply, day: str) -> None:
    html = search(client, "two", until=day)
    assert "To: This isn&#x27;t a day. Write it like 2026-03-31." in html
    assert 'aria-describedby="id_until_error"' in html
    assert f'value="{day}"' in html


def test_days_in_the_wrong_order_are_said(client: Client) -> None:
    assert "Exchange them." in search(client, "two", since="2026-03-02", until="2026-03-01")


def test_an_unknown_model_is_said(client: Client) -> None:
    assert "Model: This model isn&#x27;t available." in search(client, "two", model="nobody")


def test_results_are_filtered_by_days(client: Client, alice: User) -> None:
    conversation = Conversation.objects.create(owner=alice, title="Old", model="demo")
    for day in (1, 2, 3):
        created = datetime(2026, 3, day, 23, tzinfo=UTC)
        message = conversation.messages.create(role="user", text=f"salt {day}", created=created)
        Searchable.objects.put([Searchable.of_message(message)])
    assert results(search(client, "salt", since="2026-03-02", until="2026-03-02")) == ["[salt] 2"]
    assert len(results(search(client, "salt", since="2026-03-02"))) == 2
    assert len(results(search(client, "salt", until="2026-03-02"))) == 2


def test_results_are_filtered_by_model(client: Client, ended: Reply) -> None:
    more = end(asking.ask(ended.message.conversation, "And once more?", "demo"), "It is four again.")
    # As if another one had answered, before the settings changed.
    Reply.objects.filter(pk=ended.pk).update(model="old-1")
    summed = ended.message.conversation
    summed.add_up()
    summed.save()
    note(client, ended, "bad", "Not my four.")
    queued.add(more.message.conversation, "Which four?", "demo")
    assert results(search(client, "four")) == [
        "Which [four]?",
        "Not my [four].",
        "It is [four] again.",
        "It is [four].",
    ]
    assert results(search(client, "four", model="demo")) == ["Which [four]?", "It is [four] again."]
    assert results(search(client, "four", model="old-1")) == ["Not my [four].", "It is [four]."]
    # A question belongs to all models of its conversation.
    for model in ("demo", "old-1"):
        assert results(search(client, "once", model=model)) == ["And [once] more?"]


def test_a_model_that_is_no_longer_offered_can_be_chosen(client: Client, ended: Reply, bob: User) -> None:
    Conversation.objects.create(owner=bob, title="His", model="his-1")
    assert "old-1" not in search(client, "four")
    Conversation.objects.filter(pk=ended.message.conversation_id).update(models_used="\nold-1\n")
    html = search(client, "four", model="old-1")
    assert '<option value="old-1" selected>old-1</option>' in html
    assert "his-1" not in html


def test_many_results_come_in_portions(client: Client, alice: User) -> None:
    conversation = Conversation.objects.create(owner=alice, title="Many", model="demo")
    now = timezone.now()
    for number in range(45):
        created = now + timedelta(seconds=number)
        message = conversation.messages.create(role="user", text=f"salt {number}", created=created)
        Searchable.objects.put([Searchable.of_message(message)])
    seen, html = [], search(client, "salt", since="2000-01-01")
    while older := re.search(r'href="(\?[^"]+)">Older results', html):
        seen += results(html)
        html = client.get(f"/search/{unescape(older[1])}").text
    assert [*seen, *results(html)] == [f"[salt] {44 - number}" for number in range(45)]


@pytest.mark.parametrize("below", ["x", "-1", "9" * 40, ""])
def test_a_bad_cursor_begins_at_the_newest(client: Client, ended: Reply, below: str) -> None:
    assert results(search(client, "four", below=below)) == ["It is [four]."]


def test_nothing_of_others_is_found(client: Client, bob: User) -> None:
    end(asking.begin(bob, "How much salt?", "demo"), "Two spoons of salt")
    assert results(search(client, "salt")) == []
    assert "spoons" not in client.get("/search/offers/?q=spoons").text.replace("?q=spoons", "")
    for row in Searchable.objects.all():
        assert client.get(f"/search/{row.pk}/?q=salt").status_code == 404


def test_nothing_in_the_trash_is_found(client: Client, ended: Reply) -> None:
    [link] = links(search(client, "four"))
    client.post(f"/c/{ended.message.conversation_id}/delete/")
    assert "Nothing was found." in search(client, "four")
    assert "four" not in client.get("/search/offers/?q=fou").text
    # On a page that was open by then, the link still leads to it.
    assert client.get(link).headers["Location"].startswith(f"/trash/{ended.message.conversation_id}/")


def test_markup_in_texts_is_text(client: Client, alice: User) -> None:
    end(asking.begin(alice, HOSTILE, "demo"), HOSTILE)
    for url in ("/search/?q=salt", "/search/offers/?q=salt", "/search/?q=%3Cscript%3Ealert"):
        html = client.get(url).text
        assert "<script>alert" not in html
        assert "&lt;script&gt;" in html
        assert "&lt;mark&gt;" in html


def test_signed_out_people_are_sent_to_sign_in(client: Client) -> None:
    client.logout()
    for url in ("/search/?q=salt", "/search/offers/?q=salt", "/search/5/"):
        assert client.get(url, headers={"accept": "text/html"}).headers["Location"].startswith("/accounts/login/")


# What the palette offers


def test_titles_are_offered_before_messages(client: Client, ended: Reply) -> None:
    offers = client.get("/search/offers/?q=two").text
    assert results(offers) == ["What is [two] and [two]?"] * 2
    assert offers.count('role="option"') == 2
    assert offers.count("<bdi>What is **two** and two?</bdi>") == 1
    assert offers.rindex("offer__text") < offers.index("<bdi>")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("-", "Write a word to look for."),
        ("-two", "so far there is only what you don&#x27;t want"),
        ("a" * 300, "too long for a search"),
        ("a a a a a a a a a a a a a", "Use at most twelve."),
        ("nowhere", ""),
    ],
)
def test_nothing_is_offered_for_nothing(client: Client, ended: Reply, words: str, sentence: str) -> None:
    offers = client.get("/search/offers/", {"q": words}).text.strip()
    assert results(offers) == []
    assert sentence in offers
    assert bool(offers) == bool(sentence)


def test_the_newest_conversations_are_offered_without_words(client: Client, alice: User, bob: User) -> None:
    for number in range(20):
        updated = datetime(2026, 3, number + 1, 12, tzinfo=UTC)
        made = Conversation.objects.create(
            owner=alice, title=f"Number {number}", model="demo", pinned=number in (3, 17)
        )
        Conversation.objects.filter(pk=made.pk).update(updated=updated)
    Conversation.objects.create(owner=bob, title="His", model="demo")
    trash.put(alice, [Conversation.objects.get(title="Number 19").pk])
    offers = client.get("/search/offers/?q=%20").text
    assert results(offers) == [f"Number {number}" for number in (18, 17, 16, 15, 14, 13)]
    assert f'data-href="{Conversation.objects.get(title="Number 18").get_absolute_url()}"' in offers
    assert "19 March 2026" in offers


def test_offers_have_dates_in_the_persons_language(client: Client, alice: User, ended: Reply) -> None:
    User.objects.update(date_language="de")
    Conversation.objects.update(updated=datetime(2025, 3, 1, 12, tzinfo=UTC))
    assert "1. März 2025" in client.get("/search/offers/?q=two").text
    assert "1. März 2025" in client.get("/search/offers/").text


def test_results_have_dates_in_the_persons_language(client: Client, ended: Reply) -> None:
    when = timezone.localtime(Searchable.objects.get(message=ended.message).created)
    assert f"{when.day} {when:%B %Y, %H:%M}</time>" in search(client, "four")
    User.objects.update(date_language="de")
    with translation.override("de"):
        assert f"{date_format(when, 'DATETIME_FORMAT')}</time>" in search(client, "four")


# The way to a hit


def test_a_result_opens_its_message(client: Client, ended: Reply) -> None:
    place = client.get(links(search(client, "four"))[0])
    assert place.status_code == 303
    assert place.headers["Location"].endswith(f"#message-{ended.pk}")
    html = client.get(place.headers["Location"]).text
    assert 'aria-label="Hits"' in html
    assert "Hit 1 of 1" in html


def test_a_result_far_up_opens_at_its_message(client: Client, alice: User) -> None:
    first = asking.begin(alice, "The first of all", "demo")
    end(first, "Answer")
    for number in range(pages.SHOWN):
        end(asking.ask(first.message.conversation, f"Question {number}", "demo"), "Answer")
    question = first.message.conversation.messages.get(parent=None)
    place = client.get(links(search(client, '"first of all"'))[0]).headers["Location"]
    assert place.endswith(f"#message-{question.pk}")
    assert f'id="message-{question.pk}"' in client.get(place).text


def test_a_title_that_is_a_result_opens_with_its_hits(client: Client, ended: Reply) -> None:
    link = r'results__title" dir="auto"><a href="([^"]+)"'
    [plain] = re.findall(link, search(client, "four"))
    assert plain == f"/c/{ended.message.conversation_id}/"
    [found] = re.findall(link, search(client, "two"))
    html = client.get(client.get(found).headers["Location"]).text
    assert 'Found in the title <span class="hits__words" dir="auto">for two</span>' in html
    assert 'Title: <span dir="auto">What is <mark>two</mark> and <mark>two</mark>?</span>' in html
    # The question is the only text.
    [following] = re.findall(r'href="(/search/\d+/\?q=two)" title="Next hit"', html)
    html = client.get(client.get(following).headers["Location"]).text
    assert "Hit 1 of 1" in html
    assert "Title:" not in html


def test_hits_lead_to_each_other(client: Client, ended: Reply) -> None:
    end(asking.ask(ended.message.conversation, "And two more?", "demo"), "Two more is six.")
    newest, *_ = links(search(client, "two"))
    html = client.get(client.get(newest).headers["Location"]).text
    assert "Hit 3 of 3" in html
    assert 'aria-disabled="true" title="Next hit"' in html
    seen = []
    while previous := re.search(r'href="(/search/\d+/\?q=two)" title="Previous hit"', html):
        html = client.get(client.get(unescape(previous[1])).headers["Location"]).text
        seen.append(re.search(r"Hit \d of \d", html)[0])  # type: ignore[index]
    assert seen == ["Hit 2 of 3", "Hit 1 of 3"]


def test_a_hit_on_another_branch_leads_there(client: Client, ended: Reply) -> None:
    again = asking.retry(ended, "demo")
    end(again, "It is five.")
    place = client.get(links(search(client, "four"))[0]).headers["Location"]
    html = client.get(place).text
    assert f'id="message-{ended.pk}"' not in html
    form = re.search(r'action="(/c/[^"]+/branch/)">.*?</form>', html.split('aria-label="Hits"')[1], re.DOTALL)
    assert form
    fields = dict(re.findall(r'name="(message|find|hit)" value="([^"]*)"', form[0]))
    shown = client.post(form[1], fields, headers={"accept": "text/html"})
    html = client.get(shown.headers["Location"]).text
    assert f'id="message-{ended.pk}"' in html
    assert "Hit 1 of 1" in html
    assert "Show its branch" not in html


@pytest.mark.parametrize(
    "query", ["find=four", "find=&hit=1", "find=-x&hit=5", "find=four&hit=x", "find=nowhere&hit=5", "hit=5"]
)
def test_without_a_hit_the_page_is_as_always(client: Client, ended: Reply, query: str) -> None:
    html = client.get(f"{ended.message.conversation.get_absolute_url()}?{query}").text
    assert 'aria-label="Hits"' not in html
    assert f'id="message-{ended.pk}"' in html


def test_a_search_takes_few_queries(
    client: Client, ended: Reply, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(15):
        end(asking.begin(User.objects.get(username="alice"), f"Question {number} of two", "demo"), "Two")
    # Session, person, keys, rows, the sidebar, labels, models; on PostgreSQL a transaction around the keys, and which
    # texts are the newest.
    with django_assert_max_num_queries(12):
        assert "Older results" in search(client, "two")


def test_the_terms_for_the_script_cannot_end_it(client: Client, ended: Reply) -> None:
    end(asking.ask(ended.message.conversation, "x</script>", "demo"), "script")
    place = client.get(links(search(client, '"x</script>"'))[0]).headers["Location"]
    assert "x</script>" not in client.get(place).text


@pytest.fixture
def in_trash(ended: Reply, alice: User) -> Conversation:
    """Alice's conversation, which she has deleted."""
    trash.put(alice, [ended.message.conversation_id])
    return ended.message.conversation


def test_the_trash_is_searched_on_request(client: Client, alice: User, in_trash: Conversation) -> None:
    end(asking.begin(alice, "Four?", "demo"), "Yes.")
    assert results(search(client, "four")) == ["[Four]?"]
    html = search(client, "four", trash="on")
    assert results(html) == ["[Four]?", "It is [four]."]
    assert html.count("In the trash</p>") == 1
    assert f'<a href="/trash/{in_trash.pk}/">' in html
    assert results(client.get("/search/offers/", {"q": "four", "trash": "on"}).text) == ["[Four]?", "[Four]?"]


def test_what_is_in_the_archive_is_marked(client: Client, ended: Reply) -> None:
    offers = "/search/offers/?q=four"
    assert "In the archive" not in search(client, "four") + client.get(offers).text
    Conversation.objects.update(archived=True)
    assert search(client, "four").count("In the archive</p>") == 1
    assert '<span class="offer__title">In the archive · <bdi>' in client.get(offers).text


def test_what_is_in_the_trash_opens_to_be_read(client: Client, ended: Reply, in_trash: Conversation) -> None:
    place = client.get(links(search(client, "four", trash="on"))[0]).headers["Location"]
    assert place == f"/trash/{in_trash.pk}/?find=four&message={ended.pk}#message-{ended.pk}"
    page = body(client.get(place))
    assert re.search(r'id="hit-terms"[^>]*>[^<]*"four"', page)
    assert "hit-terms" not in body(client.get(f"/trash/{in_trash.pk}/?find=-"))
    assert "It is <em>four</em>." in page
    assert f'action="/c/{in_trash.pk}/restore/"' in page
    assert "data-composer" not in page


def test_another_branch_in_the_trash_opens_too(client: Client, alice: User, ended: Reply) -> None:
    end(asking.retry(ended, "demo"), "Five.")
    trash.put(alice, [ended.message.conversation_id])
    place = client.get(links(search(client, "four", trash="on"))[0]).headers["Location"]
    for address, texts in ((place, (True, False)), (place.partition("?")[0], (False, True))):
        page = body(client.get(address))
        assert ("It is <em>four</em>." in page, "Five." in page) == texts


def test_nobody_reads_what_others_have_deleted(client: Client, bob: User, in_trash: Conversation) -> None:
    key = Searchable.objects.texts().first()
    client.force_login(bob)
    assert results(search(client, "four", trash="on")) == []
    assert client.get(f"/trash/{in_trash.pk}/").status_code == 404
    assert key
    assert client.get(f"/search/{key.pk}/").status_code == 404


def test_only_what_is_in_the_trash_is_read_there(client: Client, ended: Reply) -> None:
    assert client.get(f"/trash/{ended.message.conversation_id}/").status_code == 404


def note(client: Client, reply: Reply, verdict: str, reason: str) -> None:
    client.post(f"/replies/{reply.pk}/feedback/", {"verdict": verdict, "reason": reason})


def test_a_note_about_an_answer_is_found(client: Client, ended: Reply) -> None:
    note(client, ended, "good", "A recipe for grandmother.")
    html = search(client, "grand")
    assert results(html) == ["A recipe for [grandmother]."]
    assert "Your note on an answer," in html
    place = client.get(links(html)[0])
    assert place.headers["Location"].endswith(f"#message-{ended.pk}")
    page = client.get(place.headers["Location"]).text
    assert "Hit 1 of 1" in page
    assert 'Your note on an answer: <span dir="auto">A recipe for <mark>grandmother</mark>.</span>' in page
    assert results(client.get("/search/offers/?q=grand").text) == ["A recipe for [grandmother]."]
    note(client, ended, "bad", "Too short.")
    assert results(search(client, "grandmother")) == []
    assert results(search(client, "short")) == ["Too [short]."]
    note(client, ended, "", "Too short.")
    assert results(search(client, "short")) == []
