"""The lease of a process: as long as it is renewed, what the process has claimed is its own."""

import asyncio
import time
from datetime import timedelta

from chat.database import DatabaseThreads, in_thread
from chat.models import ServerProcess


class Lease:
    """Renewed at each beat of its process, for `length` from then on."""

    def __init__(self, process: str, length: timedelta) -> None:
        self.length = length
        # Set while the process has a lease, as far as it can know.
        self.held = asyncio.Event()
        # When it was last renewed, on the monotonic clock; None before it first was.
        self.renewed: float | None = None
        self._process = process
        self._began = time.monotonic()
        self._trusts_others_from = 0.0
        # Its own thread, so that no slow query delays it.
        self._thread = DatabaseThreads(max_workers=1, thread_name_prefix="lease")

    def begin(self) -> None:
        """Count from now on for how long it could not be renewed."""
        self._began = time.monotonic()

    async def renew(self) -> None:
        try:
            await in_thread(ServerProcess.objects.renew, self._thread)(self._process, self.length)
        except Exception:
            if time.monotonic() - self._last_sign > self._seconds:
                self.held.clear()
            raise
        now = time.monotonic()
        if now - self._last_sign > self._seconds / 2:
            self._trusts_others_from = now + self._seconds
        self.renewed = now
        self.held.set()

    async def give_back(self) -> None:
        """Let other processes claim all that is this one's."""
        await in_thread(ServerProcess.objects.filter(name=self._process).delete, self._thread)()

    async def is_only_one(self) -> bool:
        """Whether no other process is alive."""
        others = ServerProcess.objects.alive().exclude(name=self._process)
        return not await in_thread(others.exists, self._thread)()

    def close(self) -> None:
        self._thread.shutdown(wait=False)

    @property
    def has_run_out(self) -> bool:
        return self.renewed is None or time.monotonic() - self.renewed > self._seconds

    @property
    def trusts_others(self) -> bool:
        """Whether another process's lease that has run out means that this one is dead.

        It does not after an outage of the database that kept this process from renewing its own: others may be alive.
        """
        now = time.monotonic()
        has_renewed = self.renewed is not None and now - self.renewed < self._seconds / 2
        return has_renewed and now >= self._trusts_others_from

    @property
    def _seconds(self) -> float:
        return self.length.total_seconds()

    @property
    def _last_sign(self) -> float:
        """When it was last renewed, or the process began to try."""
        return self.renewed or self._began
