"""`make run` and `make test` on machines of all kinds, and what `manage.py start` and `replies` do."""

import os
import re
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from functools import partial
from io import StringIO
from pathlib import Path

import httpx
import pytest
from django.conf import settings
from django.core.management import call_command
from django.utils import timezone
from pytest_django import Settings

from chat import asking
from chat.management.commands.replies import row
from chat.management.commands.start import demo_login
from chat.models import Reply, User
from tests.endings import end
from tests.programs import free_port

ROOT: Path = settings.BASE_DIR
# In seconds: what has not happened by then does not happen.
PATIENCE = 60
PYTHONS = ("python3", "python3.14", "python3.13", "python3.12")


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A machine where every Python is too old: a folder with programs that come before all others."""
    for name in PYTHONS:
        install(tmp_path / "programs" / name, "exit 1")
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements/base.txt").write_text("django==6.1.3\n")
    for name in ("dev.txt", "package-lock.json"):
        (tmp_path / "requirements" / name).touch()
    return tmp_path


def install(program: Path, script: str) -> None:
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


def make(machine: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    path = f"{machine / 'programs'}:/usr/bin:/bin"
    command = ["make", "--no-print-directory", f"--file={ROOT}/Makefile", f"--directory={machine}", *arguments]
    return subprocess.run(command, env={"PATH": path}, capture_output=True, text=True, check=False)


def test_make_alone_lists_the_commands(machine: Path) -> None:
    assert re.findall(r"^make ([\w-]+)", make(machine).stdout, re.MULTILINE) == [
        "run",
        "quick",
        "test",
        "kill-loop",
        "bench",
        "bench-quick",
        "bench-data",
        "bench-search",
        "bench-pages",
        "pythons",
        "lint",
        "format",
        "pins",
    ]


def test_a_python_too_old_gets_one_sentence(machine: Path) -> None:
    result = make(machine, "run")
    assert result.returncode
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1
    assert "Parley needs Python 3.12 or later. Install it (" in result.stderr
    assert "or install uv" in result.stderr


def test_uv_brings_a_python_where_every_one_is_too_old(machine: Path) -> None:
    install(machine / "programs/uv", f'echo "$@" >> {machine}/calls')
    result = make(machine, ".venv/bin/python")
    assert result.stdout == "Making .venv with uv\n"
    assert (machine / "calls").read_text() == "venv --quiet --clear --python >=3.12 .venv\n"


@pytest.mark.parametrize("name", PYTHONS)
def test_the_first_python_that_is_new_enough_makes_the_environment(machine: Path, name: str) -> None:
    install(machine / "programs" / name, f'echo "$0 $@" >> {machine}/calls')
    make(machine, ".venv/bin/python")
    assert (machine / "calls").read_text().splitlines()[-1] == f"{machine}/programs/{name} -m venv --clear .venv"


def test_half_an_environment_is_not_kept(machine: Path) -> None:
    # As on a Debian without python3-venv.
    half = "mkdir -p .venv/bin; ln -s /usr/bin/true .venv/bin/python; echo 'ensurepip is not available'; exit 1"
    install(machine / "programs/python3", f'[ "$1" = -c ] && exit; {half}')
    result = make(machine, ".venv/base")
    assert result.returncode
    assert "ensurepip is not available" in result.stdout
    assert not (machine / ".venv/bin/python").is_symlink()


def test_pip_installs_and_only_once(machine: Path) -> None:
    install(machine / ".venv/bin/python", f'echo "$@" >> {machine}/calls')
    make(machine, ".venv/base")
    make(machine, ".venv/base")
    calls = (machine / "calls").read_text().splitlines()
    assert calls == ["-m pip install --quiet --require-hashes -r requirements/base.txt"]


def test_changed_requirements_are_installed_again(machine: Path) -> None:
    install(machine / ".venv/bin/python", f'echo "$@" >> {machine}/calls')
    make(machine, ".venv/base")
    installed = (machine / ".venv/base").stat().st_mtime
    os.utime(machine / "requirements/base.txt", (installed + 1, installed + 1))
    make(machine, ".venv/base")
    assert len((machine / "calls").read_text().splitlines()) == 2


def test_what_could_not_be_installed_is_tried_again(machine: Path) -> None:
    install(machine / ".venv/bin/python", "exit 1")
    assert make(machine, ".venv/base").returncode
    assert not (machine / ".venv/base").exists()


def test_uv_installs_where_it_is_there(machine: Path) -> None:
    install(machine / ".venv/bin/python", "exit 1")
    install(machine / "programs/uv", f'echo "$@" >> {machine}/calls')
    assert make(machine, ".venv/base").returncode == 0
    assert (machine / "calls").read_text().startswith("pip install --python .venv/bin/python --quiet --require-hashes")


def test_the_javascript_is_checked_where_npm_is_there(machine: Path) -> None:
    install(machine / ".venv/bin/python", "")
    commands = make(machine, "--dry-run", "lint", "NPM=npm").stdout
    assert "npm ci" in commands
    assert ".venv/node/node_modules/.bin/tsc --project ." in commands


def test_lint_says_that_the_javascript_was_not_checked(machine: Path) -> None:
    install(machine / ".venv/bin/python", "")
    commands = make(machine, "--dry-run", "lint", "NPM=").stdout
    assert "npm ci" not in commands
    assert "There is no npm, so the JavaScript was not checked." in commands


@pytest.mark.parametrize("failing", ["ruff", "djade", "mypy", "python", "none"])
def test_a_linter_that_fails_fails_them_all(machine: Path, failing: str) -> None:
    for name in ("ruff", "djade", "mypy", "python"):
        # Before that, Python installs them all with -m pip.
        install(machine / ".venv/bin" / name, f'[ {name} != {failing} ] || [ "$1" = -m ]')
    assert (make(machine, "lint", "NPM=").returncode == 0) == (failing == "none")


def test_a_failing_suite_stops_no_other_suite(machine: Path) -> None:
    for file in ("requirements/dev.txt", ".venv/base", ".venv/dev"):
        (machine / file).parent.mkdir(exist_ok=True)
        (machine / file).touch()
    install(machine / ".venv/bin/python", f'echo "$@" >> {machine}/calls; case "$*" in *--cov) exit 1; esac')
    result = make(machine, "--keep-going", "suites")
    assert result.returncode == 2
    sqlite, browser, postgresql, redis = (machine / "calls").read_text().splitlines()
    assert sqlite.endswith("-m not (stores and redis) --cov")
    assert browser.endswith("tests/browser")
    assert postgresql.startswith("-m tests.stores postgresql")
    assert redis.startswith("-m tests.stores redis")


def test_suites_share_a_folder_that_goes_with_them(machine: Path) -> None:
    for file in ("requirements/dev.txt", ".venv/base", ".venv/dev"):
        (machine / file).parent.mkdir(exist_ok=True)
        (machine / file).touch()
    install(machine / ".venv/bin/python", f'ls -d "$TESTS_SHARED" >> {machine}/folders')
    assert make(machine, "suites").returncode == 0
    folders = (machine / "folders").read_text().splitlines()
    assert len(folders) == 4
    assert len({*folders}) == 1
    assert not Path(folders[0]).exists()


def test_the_environment_file_is_private_and_starts_parley(machine: Path) -> None:
    make(machine, ".env", f"VENV={sys.prefix}")
    assert stat.S_IMODE((machine / ".env").stat().st_mode) == 0o600
    debug, secret_key = (machine / ".env").read_text().splitlines()
    assert debug == "DEBUG=1"
    assert re.fullmatch(r"SECRET_KEY=[\w-]{50,}", secret_key)


def test_an_environment_file_is_never_overwritten(machine: Path) -> None:
    (machine / ".env").write_text("DEBUG=0\n")
    os.utime(machine / ".env", (0, 0))
    make(machine, ".env", f"VENV={sys.prefix}")
    assert (machine / ".env").read_text() == "DEBUG=0\n"


def test_the_first_start_makes_the_demo_login(db: None, settings: Settings) -> None:
    settings.DEBUG = True
    assert demo_login() == "Sign in as demo with the password demo."
    demo = User.objects.get()
    assert demo.username == "demo"
    assert demo.is_superuser
    assert demo.check_password("demo")


def test_a_later_start_leaves_the_demo_login_alone(db: None, settings: Settings) -> None:
    settings.DEBUG = True
    User.objects.create_user("demo", password="changed")
    assert demo_login() == "Sign in as demo with the password demo, unless you have changed it."
    assert User.objects.get().check_password("changed")


def test_there_is_no_demo_login_beside_a_user(alice: User, settings: Settings) -> None:
    settings.DEBUG = True
    assert demo_login() == "Sign in with your account."
    assert User.objects.get() == alice


def test_there_is_no_demo_login_without_debugging(db: None) -> None:
    assert "createsuperuser" in demo_login()
    assert not User.objects.exists()


type Started = Callable[[int], AbstractContextManager[subprocess.Popen[str]]]


@pytest.fixture
def started(tmp_path: Path) -> Started:
    """`manage.py start` on a database that does not exist yet: `with started(port) as process`."""
    return partial(start, tmp_path)


@contextmanager
def start(tmp_path: Path, port: int) -> Iterator[subprocess.Popen[str]]:
    # What a shell runs in its background ignores Ctrl-C, and would let its children inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(
        [sys.executable, "manage.py", "start", "--port", str(port)],
        cwd=ROOT,
        env={**os.environ, "DEBUG": "1", "DATABASE_URL": f"sqlite:///{tmp_path}/parley.sqlite3"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_one_process_migrates_makes_the_login_and_serves(started: Started) -> None:
    port = free_port()
    with started(port) as process:
        assert process.stdout
        assert process.stdout.readline() == f"Parley runs at http://127.0.0.1:{port}/\n"
        next(line for line in process.stdout if line == "Sign in as demo with the password demo.\n")
        next(line for line in process.stdout if "Listening on TCP address" in line)
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", follow_redirects=True, timeout=PATIENCE) as browser:
            browser.get("/accounts/login/")
            form = {"login": "demo", "password": "demo", "csrfmiddlewaretoken": browser.cookies["csrftoken"]}
            page = browser.post("/accounts/login/", data=form)
            assert page.status_code == 200
            assert page.url.path == "/"
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 0


def test_a_port_that_is_taken_gets_one_sentence(started: Started) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with started(port) as process:
            output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert output == f"CommandError: Port {port} cannot be used (Address already in use): choose one with PORT=.\n"


def listed(**options: bool) -> list[list[str]]:
    """What `manage.py replies` prints, in cells."""
    output = StringIO()
    call_command("replies", stdout=output, **options)
    return [re.split(r" {2,}", line) for line in output.getvalue().splitlines()]


@pytest.mark.parametrize("argument", ["version", "--version"])
def test_the_command_line_tells_the_version(argument: str) -> None:
    # An empty environment: whoever asks may have no settings yet.
    command = [sys.executable, "manage.py", argument]
    output = subprocess.check_output(command, cwd=ROOT, env={"ENV_FILE": os.devnull}, text=True)
    assert output.startswith(f"Parley {settings.VERSION} (Django ")


def test_no_reply_is_running(db: None) -> None:
    assert listed() == [["No reply is running."]]


def test_running_replies_are_listed_oldest_question_first(alice: User) -> None:
    first, second = (asking.begin(alice, "What is a xylophone?", "small") for _ in range(2))
    Reply.objects.claim(second.pk, 0, "host:1:ab")
    headings, *rows = listed()
    assert headings == ["REPLY", "STATUS", "MODEL", "PROCESS", "ATTEMPT", "ASKED", "FIRST DELTA", "LEASE LEFT", "ENDED"]
    assert [cells[:5] for cells in rows] == [
        [str(first.pk), "queued", "small", "-", "0"],
        [str(second.pk), "streaming", "small", "host:1:ab", "1"],
    ]


def test_times_are_told_from_now() -> None:
    now = timezone.now()
    times = {"asked": 60, "started": 50}
    reply = Reply(process="here", **{name: now - timedelta(seconds=seconds) for name, seconds in times.items()})
    assert row(reply, {"here": now + timedelta(seconds=6)}, now)[5:] == ("60 s ago", "50 s ago", "6 s", "-")


def test_ended_replies_are_listed_where_they_are_asked_for(alice: User) -> None:
    reply = asking.begin(alice, "What is a xylophone?", "small")
    end(reply, "It is a row of bars.")
    assert listed() == [["No reply is running."]]
    assert listed(all=True)[-1][:2] == [str(reply.pk), "complete"]


@pytest.fixture
def without_nginx(tmp_path: Path) -> dict[str, str]:
    """The environment of a machine where tests that need nginx cannot run."""
    plugin = "from tests.marks import PROGRAMS\nPROGRAMS['nginx'] = ['no-such-nginx']\n"
    (tmp_path / "without_nginx.py").write_text(plugin)
    return {**os.environ, "PYTHONPATH": str(tmp_path), "PYTEST_PLUGINS": "without_nginx"}


def run_tests(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "tests/test_nginx.py"]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def test_the_summary_names_skipped_tests_and_what_they_need(without_nginx: dict[str, str]) -> None:
    result = run_tests({**without_nginx, "REQUIRE_ALL": "0"})
    assert result.returncode == 0
    assert re.search(r"\d+ tests, for want of no-such-nginx: apt-get install nginx curl", result.stdout)


def test_nothing_may_be_left_out_where_all_is_required(without_nginx: dict[str, str]) -> None:
    result = run_tests({**without_nginx, "REQUIRE_ALL": "1"})
    assert result.returncode
    assert "REQUIRE_ALL=1, but there is no no-such-nginx" in result.stderr
