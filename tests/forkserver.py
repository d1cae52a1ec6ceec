"""Starts servers by forking an interpreter that has imported their libraries: a quarter of the work of a new one.

Each is a separate process, and reads its environment after the fork.
"""

import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

import coverage

# Libraries that servers import and that read neither settings nor the environment.
LIBRARIES = [
    "aiohttp",
    "autobahn.twisted.websocket",
    "django.contrib.staticfiles.storage",
    "django.core.handlers.asgi",
    "django.core.management",
    "django.db.models",
    "django.forms",
    "httpx",
    "markdown_it",
    "prometheus_client",
    "psycopg",
    "pygments.lexers",
    "redis.asyncio",
    "twisted.protocols.tls",
]
# Tells a process to measure its coverage.
MEASURED = "COVERAGE_PROCESS_CONFIG"
ROOT = Path(__file__).parent.parent
# The longest request, in bytes.
LONGEST = 100_000


class Process:
    """A forked process, with the interface of `subprocess.Popen` as far as tests need it."""

    def __init__(self, module: str, *arguments: str, environment: dict[str, str]) -> None:
        """Run a module like `python -m` does. Its output goes to `stdout`."""
        output, for_output = os.pipe()
        self._status, for_status = os.pipe()
        try:
            _forkserver.request([environment, module, *arguments], [for_output, for_status])
        finally:
            os.close(for_output)
            os.close(for_status)
        self.stdout = os.fdopen(output)
        self.pid = _number_from(self._status)
        self._returncode: int | None = None

    def poll(self) -> int | None:
        """The exit status, or minus the signal that ended it; None while it runs."""
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None

    def wait(self, seconds: float) -> int:
        """Return what `poll` does when it has ended; raises subprocess.TimeoutExpired."""
        if self._returncode is None:
            if not select.select([self._status], [], [], seconds)[0]:
                raise subprocess.TimeoutExpired(f"process {self.pid}", seconds)
            self._returncode = _number_from(self._status)
            os.close(self._status)
        return self._returncode

    def terminate(self) -> None:
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        self._send(signal.SIGKILL)

    def _send(self, number: signal.Signals) -> None:
        if self.poll() is None:
            # It may have ended a moment ago.
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)


class Forkserver:
    """The interpreter that is forked. It starts when it is needed, and ends with this one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: socket.socket | None = None

    def request(self, request: list[Any], descriptors: list[int]) -> None:
        with self._lock:
            if self._requests is None:
                self._requests, theirs = socket.socketpair(type=socket.SOCK_SEQPACKET)
                # Only the processes that it forks are measured.
                environment = {name: value for name, value in os.environ.items() if name != MEASURED}
                with theirs:
                    as_input = (os.POSIX_SPAWN_DUP2, theirs.fileno(), 0)
                    os.posix_spawn(sys.executable, [sys.executable, __file__], environment, file_actions=[as_input])
            socket.send_fds(self._requests, [json.dumps(request).encode()], descriptors)


_forkserver = Forkserver()


def main() -> None:
    os.chdir(ROOT)
    sys.path[0] = str(ROOT)
    for library in LIBRARIES:
        import_module(library)
    requests = socket.socket(fileno=0)
    # Nobody waits for the processes that wait for servers.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        request, descriptors, _, _ = socket.recv_fds(requests, LONGEST, 2)
        if not request:
            return
        if os.fork() == 0:
            output, status = descriptors
            requests.detach()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            if pid := os.fork():
                os.close(output)
                _report(pid, status)
            os.close(status)
            _become(output, *json.loads(request))
            return
        for descriptor in descriptors:
            os.close(descriptor)


def _report(pid: int, status: int) -> NoReturn:
    """Tell the test the process's id, and how it ended."""
    os.write(status, _bytes_of(pid))
    os.write(status, _bytes_of(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])))
    os._exit(0)


def _become(output: int, environment: dict[str, str], module: str, *arguments: str) -> None:
    """Run the module in this process."""
    os.environ.clear()
    os.environ.update(environment)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for old, new in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(old, new)
    os.close(nothing)
    os.close(output)
    # As any other process does at its start.
    coverage.process_startup()
    sys.argv[1:] = arguments
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _bytes_of(number: int) -> bytes:
    return number.to_bytes(8, signed=True)


def _number_from(descriptor: int) -> int:
    """Raises RuntimeError when whoever was to write it has died."""
    if found := os.read(descriptor, 8):
        return int.from_bytes(found, signed=True)
    raise RuntimeError("the forkserver has died")


if __name__ == "__main__":
    main()
