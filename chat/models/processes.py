"""The server processes that are alive: each renews its row, and thereby its lease on all replies that name it."""

from __future__ import annotations

from datetime import timedelta

from django.db import models
from django.db.models.functions import Now

# A row stays this long after its lease, so that a process that was only asleep still finds it.
ROW_KEPT = timedelta(hours=1)


class ServerProcessQuerySet(models.QuerySet["ServerProcess"]):
    def renew(self, name: str, lease: timedelta) -> None:
        """Record that this process is alive for `lease` from now on."""
        if not self.filter(name=name).update(lease=Now() + lease):
            self.create(name=name, lease=Now() + lease)

    def alive(self) -> ServerProcessQuerySet:
        return self.filter(lease__gte=Now())

    def purge(self) -> None:
        """Delete the rows of processes that died long ago."""
        self.filter(lease__lt=Now() - ROW_KEPT).delete()


class ServerProcess(models.Model):
    """One server process. One row per process, so staying alive costs the same for one reply as for ten thousand."""

    name = models.CharField(max_length=200, primary_key=True)
    started = models.DateTimeField(db_default=Now())
    lease = models.DateTimeField("alive until")

    objects = ServerProcessQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "server processes"

    def __str__(self) -> str:
        return self.name
