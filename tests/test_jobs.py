"""Background work: once, by whichever process, and again after failures."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from django.utils import timezone

from chat.database import in_thread
from chat.jobs import AT_ONCE, PAUSES, JobFailed, Jobs
from chat.models import Job, ServerProcess, User
from tests.hosts import LONG, PATIENCE

# Processes work in other threads.
pytestmark = pytest.mark.django_db(transaction=True)

KIND = Job.Kind.TITLE


class Names:
    """Work that renames the person who is its subject; it can be held and made to fail."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.begun = asyncio.Event()
        self.may_end = asyncio.Event()
        self.may_end.set()
        self.failure: Exception | None = None

    async def __call__(self, subject: str) -> Callable[[], None]:
        self.asked.append(subject)
        number = len(self.asked)
        self.begun.set()
        await self.may_end.wait()
        if self.failure:
            raise self.failure
        return lambda: self.store(subject, number)

    @staticmethod
    def store(subject: str, number: int) -> None:
        User.objects.filter(pk=subject).update(first_name=f"Number {number}")


@asynccontextmanager
async def process(
    name: str, work: Callable[[str], Awaitable[Callable[[], None]]], kind: Job.Kind = KIND
) -> AsyncIterator[Jobs]:
    """The jobs of a living process."""
    await in_thread(ServerProcess.objects.renew)(name, LONG)
    here = Jobs(name, {kind: work})
    try:
        yield here
    finally:
        for task in here.tasks:
            task.cancel()
        await asyncio.gather(*here.tasks, return_exceptions=True)
        here.close()
        await asyncio.to_thread(here._threads.shutdown)


@pytest.fixture
async def names() -> Names:
    return Names()


@pytest.fixture
async def here(names: Names) -> AsyncIterator[Jobs]:
    async with process("here", names) as here:
        yield here


@pytest.fixture
async def there(names: Names) -> AsyncIterator[Jobs]:
    async with process("there", names) as there:
        yield there


@pytest.fixture
def job(alice: User) -> Job:
    Job.objects.add(KIND, alice.pk)
    return Job.objects.get()


async def work(process: Jobs) -> None:
    """Claim what is due, and wait until it is done."""
    await process.claim(take_over=True)
    await ended(process)


async def ended(process: Jobs) -> None:
    async with asyncio.timeout(PATIENCE):
        while tasks := process.tasks:
            await asyncio.wait(tasks)
            # A task is forgotten a turn of the loop after its end.
            await asyncio.sleep(0)


async def die(name: str) -> None:
    await ServerProcess.objects.filter(name=name).aupdate(lease=timezone.now() - timedelta(seconds=1))


async def name_of(person: User) -> str:
    return (await User.objects.aget(pk=person.pk)).first_name


async def test_a_job_is_deleted_with_its_result(here: Jobs, alice: User, job: Job) -> None:
    await work(here)
    assert (await name_of(alice), await Job.objects.acount()) == ("Number 1", 0)


def test_the_same_job_is_not_added_twice(alice: User, job: Job) -> None:
    Job.objects.add(KIND, alice.pk)
    assert Job.objects.get() == job


async def test_of_two_processes_one_does_a_job(here: Jobs, there: Jobs, names: Names, job: Job) -> None:
    await asyncio.gather(work(here), work(there))
    assert len(names.asked) == 1


async def test_a_job_read_by_two_is_claimed_by_one(job: Job) -> None:
    def claimed() -> list[bool]:
        seen = [Job.objects.get(), Job.objects.get()]
        return [Job.objects.claim(job, "here") is not None for job in seen]

    assert await in_thread(claimed)() == [True, False]


async def test_the_job_of_a_dead_process_is_taken_over(
    here: Jobs, there: Jobs, names: Names, alice: User, job: Job
) -> None:
    names.may_end.clear()
    await here.claim(take_over=True)
    await there.claim(take_over=True)
    assert not there.tasks, "its process is alive"
    await die("here")
    await there.claim(take_over=False)
    assert not there.tasks, "it may be alive"
    await there.claim(take_over=True)
    assert (await Job.objects.aget()).failures == 1
    names.may_end.set()
    await asyncio.gather(ended(here), ended(there))
    # What the first one leads to is stored nowhere, whichever ends first.
    assert (await name_of(alice), await Job.objects.acount()) == ("Number 2", 0)


async def test_a_failed_job_is_tried_again_later_and_later(
    here: Jobs, names: Names, alice: User, job: Job, caplog: pytest.LogCaptureFixture
) -> None:
    names.failure = JobFailed("the endpoint is away")
    for number, pause in enumerate(PAUSES, 1):
        before = timezone.now()
        await work(here)
        job = await Job.objects.aget()
        assert (job.failures, job.process) == (number, "")
        assert before + pause <= job.due + timedelta(seconds=1)
        await work(here)
        assert len(names.asked) == number, "it is not due yet"
        # SQLite's clock has no microseconds: it may not have come to this one.
        await Job.objects.aupdate(due=timezone.now() - timedelta(seconds=1))
    await work(here)
    assert len(names.asked) == len(PAUSES) + 1
    assert (await name_of(alice), await Job.objects.acount()) == ("", 0)
    assert "the endpoint is away" in caplog.text
    assert not [record for record in caplog.records if record.exc_info]


async def test_a_job_that_kills_its_processes_is_given_up(here: Jobs, names: Names, job: Job) -> None:
    await Job.objects.aupdate(process="dead", failures=len(PAUSES))
    await work(here)
    assert (names.asked, await Job.objects.acount()) == ([], 0)


async def test_an_unexpected_failure_is_logged_with_its_place(
    here: Jobs, names: Names, job: Job, caplog: pytest.LogCaptureFixture
) -> None:
    names.failure = ValueError("broken")
    await work(here)
    assert (await Job.objects.aget()).failures == 1
    assert [record.levelno for record in caplog.records if record.exc_info] == [logging.ERROR]


async def test_a_result_that_cannot_be_stored_is_a_failure(here: Jobs, alice: User, job: Job) -> None:
    async def fails_late(subject: str) -> Callable[[], None]:
        def store() -> None:
            User.objects.filter(pk=subject).update(first_name="Half")
            raise ValueError

        return store

    here._work = {KIND: fails_late}
    await work(here)
    assert (await name_of(alice), (await Job.objects.aget()).failures) == ("", 1)


async def test_a_process_does_again_what_it_could_not_say_it_failed(
    here: Jobs, names: Names, alice: User, job: Job
) -> None:
    await Job.objects.aupdate(process="here", attempt=1)
    await work(here)
    assert (await name_of(alice), await Job.objects.acount()) == ("Number 1", 0)


async def test_a_process_does_only_a_few_at_the_same_time(here: Jobs, names: Names, alice: User) -> None:
    for number in range(AT_ONCE[KIND] + 1):
        await in_thread(Job.objects.add)(KIND, number)
    names.may_end.clear()
    for _ in range(2):
        await here.claim(take_over=True)
        assert len(here.tasks) == AT_ONCE[KIND]
    here.due.clear()
    names.may_end.set()
    await ended(here)
    assert here.due.is_set(), "there is room"
    await work(here)
    assert await Job.objects.acount() == 0


async def test_no_kind_waits_for_another(here: Jobs, names: Names, alice: User) -> None:
    here._work = {Job.Kind.EXPORT: names, KIND: names}
    for number in range(9):
        await in_thread(Job.objects.add)(Job.Kind.EXPORT, number)
    await in_thread(Job.objects.add)(KIND, alice.pk)
    names.may_end.clear()
    await here.claim(take_over=True)
    assert sorted(job.kind for job in here._running) == [Job.Kind.EXPORT, KIND]


async def test_a_kind_that_a_newer_version_has_added_is_left_to_it(here: Jobs, job: Job) -> None:
    here._work = {}
    await work(here)
    assert await Job.objects.acount() == 1


async def test_a_process_that_ends_hands_its_jobs_over(
    here: Jobs, there: Jobs, names: Names, alice: User, job: Job
) -> None:
    names.may_end.clear()
    await here.claim(take_over=True)
    await names.begun.wait()
    await here.hand_over()
    names.may_end.set()
    await work(there)
    assert (await name_of(alice), await Job.objects.acount()) == ("Number 2", 0)
