"""Dockerfile and compose.yaml: the files they name exist, and their commands run, without a container."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from django.conf import settings

from tests.nginx import HOST, PROCESS, running
from tests.programs import free_port, program
from tests.server import Server

ROOT: Path = settings.BASE_DIR
ENVIRONMENT = {"ENV_FILE": os.devnull, "PATH": f"{sys.prefix}/bin:/usr/bin:/bin", "SECRET_KEY": "tests-only-" * 5}
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions, as names and arguments."""
    text = re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text())
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(name, rest) for name, _, rest in (line.partition(" ") for line in lines)]


DOCKERFILE = instructions()
LAST_STAGE = DOCKERFILE[max(index for index, (name, _) in enumerate(DOCKERFILE) if name == "FROM") :]


def all_of(name: str) -> list[str]:
    return [rest for instruction, rest in DOCKERFILE if instruction == name]


def copied() -> list[tuple[str, str]]:
    """What is copied from here into the image, as sources and targets."""
    sources = [rest.split() for rest in all_of("COPY") if not rest.startswith("--from")]
    return [(source, target) for source, target in sources]


# The image


def test_the_image_has_the_developers_python() -> None:
    version = (ROOT / ".python-version").read_text().strip()
    assert {image.split()[0] for image in all_of("FROM")} == {f"python:{version}-slim"}


def test_copied_files_exist_and_are_not_ignored() -> None:
    let_in = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    assert [source for source, _ in copied() if not (ROOT / source).exists()] == []
    assert sorted(source for source, _ in copied()) == sorted(let_in)


def test_everything_else_is_kept_out_of_the_image() -> None:
    assert (ROOT / ".dockerignore").read_text().splitlines()[1] == "*"


def test_the_last_stage_is_unprivileged_and_installs_nothing() -> None:
    assert [rest for name, rest in LAST_STAGE if name == "USER"] == ["parley"]
    assert [rest for name, rest in LAST_STAGE if name == "RUN"] == ["useradd --system --no-create-home parley"]


def install() -> list[str]:
    return shlex.split(next(command for command in all_of("RUN") if " install " in command))


def test_installed_packages_are_pinned_by_hash() -> None:
    # The tests run with all of them installed, so pip compares without a network.
    options = install()[install().index("install") :]
    result = subprocess.run(
        [sys.executable, "-m", "pip", *options, "--no-index", "--dry-run"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert {"--require-hashes", "--only-binary"} <= set(options)
    assert result.returncode == 0, result.stderr
    assert "Would install" not in result.stdout


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The image's folder, with everything that is copied and built there."""
    folder = tmp_path_factory.mktemp("image")
    for source, target in copied():
        place = folder / target / Path(source).name if target.endswith("/") else folder / target
        place.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, place, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(ROOT / source, place)
    collect = next(command for command in all_of("RUN") if "collectstatic" in command)
    here = collect.replace("/opt/venv/bin/python", sys.executable)
    subprocess.run(here, shell=True, cwd=folder, env={"PATH": ENVIRONMENT["PATH"]}, check=True, capture_output=True)  # noqa: S602
    return folder


@contextmanager
def container(image: Path, port: int, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """The image's command on another port, once it listens."""
    command = yaml.safe_load(next(rest for name, rest in LAST_STAGE if name == "CMD"))
    process = subprocess.Popen(
        [argument.replace("8000", str(port)) for argument in command],
        cwd=image,
        env={**ENVIRONMENT, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert process.stdout
        next(line for line in process.stdout if "Listening on TCP address" in line)
        yield process
    finally:
        process.kill()
        process.communicate()


def health(image: Path, port: int) -> int:
    """The exit status of the image's health check."""
    check = next(rest for name, rest in LAST_STAGE if name == "HEALTHCHECK")
    command = yaml.safe_load(check.partition("CMD ")[2])
    here = [argument.replace("8000", str(port)) for argument in command]
    return subprocess.run(here, cwd=image, env=ENVIRONMENT, capture_output=True, check=False).returncode


def test_the_images_commands_migrate_serve_and_end(image: Path, tmp_path: Path) -> None:
    database = {"DATABASE_URL": f"sqlite:///{tmp_path}/parley.sqlite3"}
    migrate = SERVICES["migrate"]["command"]
    subprocess.run(migrate, cwd=image, env={**ENVIRONMENT, **database}, check=True, capture_output=True)
    port = free_port()
    assert health(image, port) != 0
    with container(image, port, ALLOWED_HOSTS=HOST, **database) as process:
        assert health(image, port) == 0
        page = httpx.get(
            f"http://127.0.0.1:{port}/accounts/login/", headers={"host": HOST}, trust_env=False, timeout=60
        )
        assert page.status_code == 200
        style = re.search(r"/static/css/[\w.-]+", page.text)
        assert style, "its static files have been collected"
        assert re.search(r"\.[0-9a-f]{12}\.css$", style[0])
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


# The services


def test_both_processes_start_after_the_migration() -> None:
    assert SERVICES["app-1"] == SERVICES["app-2"]
    assert SERVICES["app-1"]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}


def test_the_grace_period_is_longer_than_the_drain() -> None:
    assert int(SERVICES["app-1"]["stop_grace_period"].removesuffix("s")) > 10


def test_only_the_proxy_has_a_port() -> None:
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["nginx"]


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_can_do_only_what_it_needs(name: str) -> None:
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["read_only"]
    assert service["mem_limit"]
    assert service["pids_limit"]
    assert "privileged" not in service
    assert ("cap_add" in service) == (name == "nginx")


def test_the_proxy_cannot_reach_the_databases() -> None:
    networks = {name: set(service["networks"]) for name, service in SERVICES.items()}
    assert {name for name, joined in networks.items() if "data" in joined} == set(SERVICES) - {"nginx"}
    assert {name for name, joined in networks.items() if "front" in joined} == {"app-1", "app-2", "nginx"}
    assert COMPOSE["networks"]["data"] == {"internal": True}


@pytest.mark.redis
def test_valkey_requires_its_password_and_hides_it(tmp_path: Path) -> None:
    """With the commands of the service, but Redis instead of Valkey."""
    port = free_port()
    command = SERVICES["valkey"]["command"][2].replace("$$", "$").replace("/tmp/", f"{tmp_path}/")
    command = command.replace("valkey-server", program("redis-server")) + f" --port {port} --bind 127.0.0.1"
    check = SERVICES["valkey"]["healthcheck"]["test"][1].replace("valkey-cli", f"redis-cli -p {port}")
    nothing = {"PATH": ENVIRONMENT["PATH"]}
    password = {"REDISCLI_AUTH": "sesame", **nothing}
    with subprocess.Popen(["sh", "-c", command], env=password, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout
            next(line for line in server.stdout if "Ready to accept connections" in line)
            # It has replaced the shell, so that it gets the signals.
            arguments = subprocess.check_output(["ps", "-o", "args=", "-p", str(server.pid)], text=True)
            assert "redis-server" in arguments
            assert "sesame" not in arguments
            for environment, status in [(password, 0), (nothing, 1)]:
                told = subprocess.run(["sh", "-c", check], env=environment, check=False, capture_output=True)
                assert told.returncode == status
        finally:
            server.terminate()


def test_the_services_set_existing_settings() -> None:
    known = re.findall(r"^\| `([A-Z_]+)`", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert set(SERVICES["app-1"]["environment"]) <= set(known)


def test_required_variables_are_explained() -> None:
    asked = set(re.findall(r"(?<!\$)\$\{([A-Z_]+)", (ROOT / "compose.yaml").read_text()))
    assert asked
    assert [name for name in asked if f"{name}=" not in (ROOT / "README.md").read_text()] == []


@pytest.mark.nginx
def test_the_services_proxy_is_the_example(server: Server, tmp_path: Path) -> None:
    command = SERVICES["nginx"]["command"][2].replace("$$", "$")
    for there, here in {
        "/parley.conf": str(ROOT / "docs/nginx.conf"),
        "/etc/nginx/conf.d/default.conf": str(tmp_path / "made.conf"),
        'exec nginx -g "daemon off;"': "true",
    }.items():
        assert there in command
        command = command.replace(there, here)
    subprocess.run(["sh", "-c", command], env={"PARLEY_HOST": "chat.example.com", "PATH": "/usr/bin:/bin"}, check=True)
    made = (tmp_path / "made.conf").read_text()
    processes = "server app-1:8000 max_fails=0; server app-2:8000 max_fails=0;"
    assert processes in made
    # Back to the names that resolve on this machine.
    site = made.replace(processes, PROCESS.format(8000)).replace("chat.example.com", HOST)
    with running(site, [server.port], tmp_path) as nginx:
        assert '"status": "ok"' in nginx.get("/healthz/")
