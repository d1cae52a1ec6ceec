"""Readers of many streams at the same time, and what their deltas cost the relay."""

import asyncio
import json
import os
import re
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles
from urllib.parse import quote

from tests.bench.paced import wanted

# A delta is whole when something follows it.
DELTA = re.compile(rb"w\d+@(\d+)(?=\D)")
TOKEN = "c" * 32
PATIENCE = 120


@dataclass(frozen=True)
class Load:
    """`streams` of `deltas` each, one delta every `gap` seconds; all begin within `ramp` seconds."""

    streams: int = 100
    deltas: int = 500
    gap: float = 0.02
    ramp: float = 2.0


@dataclass
class Taken:
    """Seconds from the endpoint to the reader, per delta; from the question to the first delta, per stream; of CPU."""

    deltas: list[float] = field(default_factory=list)
    first: list[float] = field(default_factory=list)
    cpu: float = 0
    memory_mb: float = 0

    @property
    def cpu_us(self) -> float:
        """Microseconds of CPU a delta."""
        return self.cpu / len(self.deltas) * 1e6

    @property
    def median_ms(self) -> float:
        return median(self.deltas) * 1000

    @property
    def p99_ms(self) -> float:
        return quantiles(self.deltas, n=100)[-1] * 1000

    @property
    def first_ms(self) -> float:
        return median(self.first) * 1000


@dataclass(frozen=True)
class Relay:
    """A relay that runs: plain ones stream the answer to `GET /?q=…`, Parley is asked as its pages ask it."""

    port: int
    pids: list[int]
    cookie: str = ""

    @property
    def cpu(self) -> float:
        """Seconds of CPU that its processes have taken."""
        ticks = 0
        for pid in self.pids:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    @property
    def memory_mb(self) -> float:
        pages = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in self.pids)
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    def measure(self, load: Load) -> Taken:
        """Raises RuntimeError when a stream ends too early."""
        taken, before = Taken(), self.cpu
        asyncio.run(self._read_all(load, taken))
        taken.cpu, taken.memory_mb = self.cpu - before, self.memory_mb
        return taken

    async def _read_all(self, load: Load, taken: Taken) -> None:
        async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
            for number in range(load.streams):
                group.create_task(self._read(load, load.ramp * number / load.streams, taken))

    async def _read(self, load: Load, delay: float, taken: Taken) -> None:
        await asyncio.sleep(delay)
        began = time.monotonic()
        reader, writer = await self._open(wanted(load.deltas, load.gap))
        seen, rest = 0, b""
        while seen < load.deltas:
            data = await reader.read(65_536)
            if not data:
                raise RuntimeError(f"A stream ended after {seen} deltas")
            now, rest, end = time.monotonic(), rest + data, 0
            for delta in DELTA.finditer(rest):
                if not seen:
                    taken.first.append(now - began)
                taken.deltas.append(now - int(delta[1]) / 1e6)
                seen, end = seen + 1, delta.end()
            rest = rest[end:] if end else rest[-64:]
        writer.close()

    async def _open(self, question: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if not self.cookie:
            return await self._request("GET", f"/?q={quote(question)}")
        form = f"text={quote(question)}"
        reader, writer = await self._request("POST", "/c/", form, "application/json")
        asked = json.loads((await reader.read()).rpartition(b"\r\n\r\n")[2])
        writer.close()
        return await self._request("GET", asked["reply"]["events_url"])

    async def _request(
        self, method: str, path: str, form: str = "", accept: str = "text/event-stream"
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """The response from its body on; that of a form from its head on, as a whole."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=1 << 20)
        head = [
            f"{method} {path} HTTP/1.{0 if form else 1}",
            "host: localhost",
            f"accept: {accept}",
            f"cookie: {self.cookie}; csrftoken={TOKEN}",
            *(["x-csrftoken: " + TOKEN, "content-type: application/x-www-form-urlencoded"] if form else []),
            f"content-length: {len(form)}",
        ]
        writer.write("\r\n".join([*head, "", form]).encode())
        if not form:
            status = await reader.readuntil(b"\r\n\r\n")
            if b" 200 " not in status.split(b"\r\n")[0]:
                raise RuntimeError(status.decode())
        return reader, writer
