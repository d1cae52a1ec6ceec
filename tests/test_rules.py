"""Queues that fill themselves by a rule: what is chosen, once, whichever process dies, and for whom."""

import asyncio
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import UUID

import pytest
from django.contrib.auth.models import Group, Permission
from django.utils import timezone

from chat import rules, trash
from chat.database import in_thread
from chat.models import Conversation, Job, QueueRule, Reply, ReviewLimit, ReviewQueue, User
from chat.models.ids import first_of, uuid7
from tests.hosts import StartHost
from tests.test_admin import talk
from tests.test_jobs import die, ended, process
from tests.test_tree import plan_of

pytestmark = pytest.mark.django_db


def set_rule(by: User, share: int = 100, **conditions: str) -> QueueRule:
    """A rule for a queue for two reviewers."""
    queue, _ = ReviewQueue.objects.get_or_create(name="Salt", rubric="Correct: yes, no", reviewers=2)
    # What a test has made so far is new.
    since = timezone.now() - timedelta(hours=1)
    fields = {"owner": by, "share": share, "conditions": conditions, "since": since}
    return QueueRule.objects.update_or_create(queue=queue, defaults=fields)[0]


def fill(rule: QueueRule) -> set[UUID]:
    """Do what a job does; returns what is in the queue then."""
    rules.fill(str(rule.pk))()
    return queued(rule)


def queued(rule: QueueRule) -> set[UUID]:
    return set(rule.queue.markings.values_list("conversation", flat=True))


def begun(conversation: Conversation, moment: datetime) -> UUID:
    """Give a conversation without messages the id of one that was begun then."""
    pk = UUID(int=first_of(moment).int | uuid7().int & (1 << 80) - 1)
    Conversation.objects.filter(pk=conversation.pk).update(id=pk, statuses="complete")
    return pk


# What is chosen


def test_a_share_of_what_is_new_comes_into_the_queue_once(alice: User, sam: User) -> None:
    new = {talk(alice, "Answer.").pk for _ in range(40)}
    rule = set_rule(sam, share=50)
    chosen = fill(rule)
    assert chosen == {pk for pk in new if rule.chooses(pk)}
    assert 0 < len(chosen) < 40
    assert fill(rule) == chosen
    assert rule.queue.progress(sam)["all"] == 2 * len(chosen)
    more = fill(set_rule(sam, share=80))
    assert chosen < more <= new
    assert fill(set_rule(sam, share=100)) == new


def test_a_share_is_about_so_many_and_differs_by_queue(sam: User) -> None:
    ids = [uuid7() for _ in range(2000)]
    rule, other = set_rule(sam, share=10), QueueRule(queue_id=uuid7(), share=10)
    chosen = {pk for pk in ids if rule.chooses(pk)}
    assert 120 < len(chosen) < 280
    assert chosen != {pk for pk in ids if other.chooses(pk)}
    rule.share = 0
    assert not any(map(rule.chooses, ids))


def test_what_somebody_takes_out_stays_out(alice: User, sam: User) -> None:
    soup, tea = talk(alice, "Two spoons.").pk, talk(alice, "Three spoons.").pk
    rule = set_rule(sam)
    assert fill(rule) == {soup, tea}
    assert rule.queue.take_out([soup]) == 1
    assert fill(rule) == {tea}
    assert rule.queue.put([soup, tea]) == 1, "by hand it comes in again"
    assert rule.queue.take_out([soup]) == 1
    assert fill(set_rule(sam)) == {tea}, "a rule that is saved again leaves it out too"


def test_what_fails_or_is_judged_later_is_chosen_later(alice: User, sam: User) -> None:
    soup, tea = talk(alice, "Two spoons."), talk(alice, "Three spoons.", feedback="good")
    rule = set_rule(sam, feedback="bad", owner="alice")
    assert fill(rule) == set()
    Reply.objects.get(message__conversation=soup).judge("bad", "")
    assert fill(rule) == {soup.pk}
    Reply.objects.get(message__conversation=tea).judge("bad", "")
    assert fill(rule) == {soup.pk, tea.pk}


def test_what_is_no_lasting_talk_of_this_month_is_left_out(alice: User, sam: User) -> None:
    rule = set_rule(sam)
    without_answer, temporary, deleted = talk(alice), talk(alice, "Answer."), talk(alice, "Answer.")
    Conversation.objects.filter(pk=temporary.pk).update(temporary=True)
    trash.put(alice, [deleted.pk])
    before = begun(talk(alice), rule.since - timedelta(seconds=1))
    assert fill(rule) == set()
    assert not without_answer.statuses
    QueueRule.objects.update(since=timezone.now() - timedelta(days=90))
    begun(talk(alice), timezone.now() - timedelta(days=31))
    recent = begun(talk(alice), timezone.now() - timedelta(days=29))
    assert fill(rule) == {recent, before}


def test_a_rule_chooses_what_its_owner_may_read(alice: User, bob: User, sam: User) -> None:
    hers, his = talk(alice, "Answer."), talk(bob, "Answer.")
    User.objects.filter(pk=sam.pk).update(is_superuser=False)
    sam.user_permissions.set(Permission.objects.filter(codename="view_conversation"))
    rule = set_rule(sam)
    assert fill(rule) == set(), "they may not read"
    sam.user_permissions.set(Permission.objects.filter(codename__in=["view_conversation", "read_conversation"]))
    alice.groups.add(group := Group.objects.create(name="Cooks"))
    limit = ReviewLimit.objects.create(reviewer=sam)
    limit.groups.add(group)
    assert fill(rule) == {hers.pk}, "they see Alice's"
    User.objects.filter(pk=sam.pk).update(is_staff=False)
    limit.delete()
    assert fill(rule) == {hers.pk}, "they are no longer staff"
    User.objects.filter(pk=sam.pk).update(is_staff=True)
    assert fill(rule) == {hers.pk, his.pk}


def test_a_rule_goes_with_its_owner(sam: User) -> None:
    queue = set_rule(sam).queue
    sam.delete()
    assert not QueueRule.objects.exists()
    queue.refresh_from_db()


# In portions, by jobs


def test_one_job_does_a_bounded_part(alice: User, sam: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "LOOKED_AT", 3)
    monkeypatch.setattr(rules, "PUT", 2)
    new = [talk(alice, "Answer.").pk for _ in range(7)]
    rule = set_rule(sam)
    assert [len(fill(rule)) for _ in range(5)] == [2, 4, 6, 7, 7]
    late = talk(alice, "Answer.").pk
    while late not in fill(rule):
        pass
    assert queued(rule) == {*new, late}


@pytest.mark.parametrize("conditions", [{}, {"status": "failed"}, {"feedback": "bad"}, {"owner": "x"}])
def test_a_job_finds_its_part_by_an_index(sam: User, conditions: dict[str, str]) -> None:
    rule = set_rule(sam)
    rule.conditions = conditions
    span = Conversation.objects.filter(pk__gt=rule.start, pk__lte=uuid7())
    plan = plan_of(rules.meeting(rule, span).order_by("pk").values("pk"))
    assert re.search(r"USING COVERING INDEX sqlite_autoindex_chat_conversation_1 \(id>|chat_conversation_pkey", plan)


def test_a_rule_that_changes_meanwhile_puts_nothing(alice: User, sam: User) -> None:
    talk(alice, "Answer.")
    rule = set_rule(sam)
    store = rules.fill(str(rule.pk))
    set_rule(sam, share=0)
    store()
    QueueRule.objects.all().delete()
    store()
    assert queued(rule) == set()
    rules.fill(str(rule.pk))()


def test_a_rule_is_due_every_minute(alice: User, sam: User) -> None:
    def jobs() -> list[tuple[str, str]]:
        rules.add_jobs()
        rules.add_jobs()
        return list(Job.objects.values_list("kind", "subject"))

    rule = set_rule(sam)
    assert jobs() == [], "it has just been set"
    QueueRule.objects.update(looked=timezone.now() - timedelta(minutes=1), share=0)
    assert jobs() == [], "it rests"
    QueueRule.objects.update(share=1)
    assert jobs() == [("fill", str(rule.pk))]
    Job.objects.all().delete()
    fill(rule)
    assert jobs() == [], "it has just looked"


@pytest.mark.django_db(transaction=True)
async def test_a_queue_is_filled_once_although_a_process_dies(alice: User, sam: User) -> None:
    looked, may_store = asyncio.Event(), asyncio.Event()

    async def held(queue: str) -> Callable[[], None]:
        store = await in_thread(rules.fill)(queue)
        looked.set()
        await may_store.wait()
        return store

    def begin() -> QueueRule:
        Job.objects.add(Job.Kind.FILL, (rule := set_rule(sam)).pk)
        for _ in range(5):
            talk(alice, "Answer.")
        return rule

    rule = await in_thread(begin)()
    async with (
        process("here", held, Job.Kind.FILL) as here,
        process("there", in_thread(rules.fill), Job.Kind.FILL) as there,
    ):
        await here.claim(take_over=True)
        await looked.wait()
        await die("here")
        await there.claim(take_over=True)
        await ended(there)
        may_store.set()
        await ended(here)
    assert await rule.queue.markings.acount() == 10
    assert await Job.objects.acount() == 0


@pytest.mark.django_db(transaction=True)
async def test_a_process_looks_after_rules(start_host: StartHost, alice: User, sam: User) -> None:
    def begin() -> QueueRule:
        rule = set_rule(sam)
        QueueRule.objects.update(looked=timezone.now() - timedelta(minutes=1))
        talk(alice, "Answer.")
        return rule

    host = await start_host()
    rule = await in_thread(begin)()
    await in_thread(rules.add_jobs)()
    await host.claim_jobs()
    await ended(host.jobs)
    assert await rule.queue.markings.acount() == 2
