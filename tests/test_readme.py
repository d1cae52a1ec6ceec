"""The README's way to start without make: a person types its commands, one after the other, until a page answers."""

import os
import pty
import re
import shutil
import signal
import site
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from select import select

import httpx
import pytest
from django.conf import settings

from tests.programs import free_port

ROOT: Path = settings.BASE_DIR
# Seconds for a step of pip's or Django's on a busy machine.
PATIENCE = 60
END = rb"status=(\d+)="
COMMANDS = re.search(r"usual steps:\n\n```sh\n(.+?)```", (ROOT / "README.md").read_text(), re.DOTALL)
# What a person answers when a command asks.
ANSWERS = {
    b"Username": b"sam",
    b"Email address": b"sam@example.org",
    b"Password:": b"a good password",
    b"Password (again)": b"a good password",
}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The files of Parley as they come, without anybody's environment, settings or data."""
    for name in ("chat", "config", "requirements", "static", "templates"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "manage.py", tmp_path)
    return tmp_path


class Shell:
    """A shell in a terminal, as on a person's machine with a Python that is new enough."""

    def __init__(self, folder: Path) -> None:
        environment = {
            "PATH": f"{Path(sys.base_prefix, 'bin')}:/usr/bin:/bin",
            "HOME": str(folder),
            "PS1": "",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        }
        self._terminal, end = pty.openpty()
        self._shell = subprocess.Popen(
            ["sh"], cwd=folder, env=environment, stdin=end, stdout=end, stderr=end, start_new_session=True
        )
        os.close(end)
        self._unread = b""

    def type(self, line: str) -> None:
        os.write(self._terminal, line.encode() + b"\n")

    def run(self, command: str) -> None:
        """Wait until the command has ended well, and answer what it asks."""
        self.type(f"{command}; echo status=$?=")
        answers = dict(ANSWERS)
        found = self.wait_for(*answers)
        while not found[1]:
            self.type(answers.pop(found[0]).decode())
            found = self.wait_for(*answers)
        assert found[1] == b"0", f"{command} failed"

    def wait_for(self, *texts: bytes) -> re.Match[bytes]:
        """The first of these in the output, or the end of a command with its status in group 1."""
        pattern = b"|".join([END, *map(re.escape, texts)])
        while not (found := re.search(pattern, self._unread)):
            assert select([self._terminal], [], [], PATIENCE)[0], f"Nothing more came: {self._unread.decode()}"
            try:
                self._unread += os.read(self._terminal, 65536)
            except OSError:
                raise AssertionError(f"The shell ended: {self._unread.decode()}") from None
        self._unread = self._unread[found.end() :]
        return found

    def close(self) -> None:
        os.killpg(self._shell.pid, signal.SIGKILL)
        self._shell.wait()
        os.close(self._terminal)


@contextmanager
def shell(folder: Path) -> Iterator[Shell]:
    shell = Shell(folder)
    try:
        yield shell
    finally:
        shell.close()


def lend_packages(venv: Path) -> None:
    """Let an environment see the packages of this one, so that pip checks the pins but downloads nothing."""
    (folder,) = venv.glob("lib/python*/site-packages")
    (folder / "lent.pth").write_text("\n".join(site.getsitepackages()))


@pytest.mark.process
def test_the_usual_steps_lead_to_a_page(copy: Path) -> None:
    assert COMMANDS
    make_venv, *commands, runserver = COMMANDS[1].splitlines()
    port = free_port()
    with shell(copy) as person:
        person.run(make_venv)
        lend_packages(copy / ".venv")
        for command in commands:
            person.run(command)
        person.type(f"{runserver} {port}")
        person.wait_for(b"Listening on TCP address")
        address = f"http://127.0.0.1:{port}"
        with httpx.Client(base_url=address, follow_redirects=True, trust_env=False, timeout=PATIENCE) as browser:
            browser.get("/accounts/login/")
            form = {"login": "sam", "password": "a good password", "csrfmiddlewaretoken": browser.cookies["csrftoken"]}
            page = browser.post("/accounts/login/", data=form)
        assert (page.status_code, page.url.path) == (200, "/")
        assert "What would you like to talk over?" in page.text
