"""A Redis server for tests, which can kill it and start it again. It keeps nothing."""

import signal
import subprocess
import tempfile
from typing import Self

from redis import Redis

from tests.programs import free_port, program


class RedisServer:
    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._folder = tempfile.TemporaryDirectory()
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.kill()
        self._folder.cleanup()

    def start(self) -> None:
        """Start the process, which is empty, and wait until it listens."""
        place = ["--bind", "127.0.0.1", "--port", str(self.port), "--dir", self._folder.name]
        self._process = subprocess.Popen(
            [program("redis-server"), *place, "--save", "", "--appendonly", "no"], stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout
        next(line for line in self._process.stdout if "Ready to accept connections" in line)

    def settle(self) -> None:
        """Return once it has answered all commands whose effect a reader has seen: it answers this one after them."""
        with Redis.from_url(self.url) as client:
            client.ping()

    def hang(self) -> None:
        """Accept connections but answer none."""
        assert self._process, "Redis does not run"
        self._process.send_signal(signal.SIGSTOP)

    def restart(self) -> None:
        self.kill()
        self.start()

    def kill(self) -> None:
        if self._process:
            self._process.kill()
            self._process.communicate()
            self._process = None
