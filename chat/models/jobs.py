"""Background work that must be done once, whichever process dies meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import timedelta
from uuid import UUID

from django.db import models, transaction
from django.db.models import Exists, F, OuterRef, Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from chat.compiled import compiled
from chat.models.ids import uuid7
from chat.models.processes import ServerProcess


class JobQuerySet(models.QuerySet["Job"]):
    def add(self, kind: str, subject: object) -> None:
        """Have this done, unless it is to be done already."""
        self.bulk_create([Job(kind=kind, subject=str(subject))], ignore_conflicts=True)

    def due(self) -> JobQuerySet:
        return self.filter(due__lte=Now())

    def some_are_due(self) -> bool:
        return bool(_one_due())

    def claimable(self, process: str, kind: str, doing: Collection[Job], *, take_over: bool) -> JobQuerySet:
        """What this process may claim of a kind, the most urgent first; it is `doing` some already.

        With `take_over` that includes what dead processes have left.
        """
        alive = ServerProcess.objects.alive().filter(name=OuterRef("process"))
        # What is its own and is not being done has failed in a way that could not be stored.
        free = Q(process__in=["", process])
        due = self.due().filter(free | ~Exists(alive) if take_over else free, kind=kind)
        return due.exclude(pk__in=[job.pk for job in doing]).order_by("due", "pk")

    def claim(self, job: Job, process: str) -> Job | None:
        """The job, made this process's, unless another one has claimed it since it was read."""
        unchanged = self.filter(pk=job.pk, attempt=job.attempt, process=job.process)
        # Its last process died or could not say how it failed.
        failures = job.failures + bool(job.process)
        if not unchanged.update(process=process, attempt=F("attempt") + 1, failures=failures):
            return None
        job.process, job.attempt, job.failures = process, job.attempt + 1, failures
        return job

    def finish(self, job: Job, store: Callable[[], None]) -> bool:
        """Store what the job has led to and delete it, in one transaction, if it is still this attempt's.

        `store` locks rows in the usual order; the job comes last.
        """
        with transaction.atomic():
            store()
            done, _ = self._claimed(job).delete()
            if not done:
                transaction.set_rollback(True)
        return bool(done)

    def retry(self, job: Job, pause: timedelta) -> None:
        """Let any process try again after a failure."""
        self._claimed(job).update(process="", failures=job.failures + 1, due=Now() + pause)

    def hand_over(self) -> None:
        """Let any process do these; that theirs did not is no failure."""
        self.update(process="")

    def _claimed(self, job: Job) -> JobQuerySet:
        return self.filter(pk=job.pk, attempt=job.attempt)


@compiled
def _one_due() -> models.QuerySet[Job, tuple[UUID]]:
    return Job.objects.due().values_list("pk")[:1]


class Job(models.Model):
    """Something to be done beside the replies. Its row is deleted in the transaction that stores the result.

    `attempt` is the fencing token, as that of a reply: each claim raises it, and what an earlier one leads to is not
    stored.
    """

    class Kind(models.TextChoices):
        TITLE = "title", _("Title of a conversation")
        FILL = "fill", _("Filling of a queue by its rule")
        EXPORT = "export", _("Export of conversations")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    kind = models.CharField(max_length=32, choices=Kind)
    # The id of what it is about. Not a foreign key: kinds differ in that, and the row may be gone.
    subject = models.CharField(max_length=64, blank=True)
    # The process that does it; empty while none does.
    process = models.CharField(max_length=200, blank=True)
    attempt = models.PositiveIntegerField(default=0)
    failures = models.PositiveSmallIntegerField(default=0)
    due = models.DateTimeField("not before", db_default=Now())

    objects = JobQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["kind", "subject"], name="job_once")]
        indexes = [models.Index(fields=["due"], name="job_due")]

    def __str__(self) -> str:
        return f"{self.kind} job {self.pk}"
