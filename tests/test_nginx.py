"""docs/nginx.conf in front of real servers: streams, limits and sign-in over HTTP/2 and TLS, a rolling restart."""

import asyncio
import re
import socket
import ssl
import subprocess
import time
import warnings
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.conf import settings

from chat.models import User
from tests.nginx import HOST, Nginx, running
from tests.server import Server, Servers, SharedServers
from tests.upstream import Upstream, done, finish, pause, sleep, text
from tests.visitor import CSRF, PATIENCE, Event, Visitor, has_ended, written

pytestmark = pytest.mark.nginx

SITE = (settings.BASE_DIR / "docs/nginx.conf").read_text()
# The cookie names with SECURE_COOKIES.
SESSION, TOKEN = "__Host-sessionid", "__Host-csrftoken"
PRODUCTION = {
    "DEBUG": "0",
    "OPENAI_MODEL": "scripted",
    "ALLOWED_HOSTS": HOST,
    "SECURE_COOKIES": "1",
    "SECURE_SSL_REDIRECT": "1",
    "CHAT_METRICS": "1",
    "CHAT_DRAIN_SECONDS": "50",
}

GZIP = ("--header", "Accept-Encoding: gzip")


@pytest.fixture
def server(share_server: SharedServers, upstream: Upstream, collected_static: None) -> Server:
    """A server as in production."""
    return share_server(OPENAI_BASE_URL=upstream.url, **PRODUCTION)


@pytest.fixture
def nginx(server: Server, tmp_path: Path) -> Iterator[Nginx]:
    with running(SITE, [server.port], tmp_path) as nginx:
        yield nginx


def test_a_stream_arrives_before_its_reply_ends(nginx: Nginx, server: Server, upstream: Upstream) -> None:
    upstream.script(text("Hello"), pause("middle"), text(" world"), finish(), done())
    session = server.session_cookie("alice")
    page = nginx.get("/", "--include", "--cookie", f"{SESSION}={session}")
    token = re.search(rf"{TOKEN}=(\w+)", page)
    assert token
    ask = nginx.curl(
        "/c/",
        *("--cookie", f"{SESSION}={session}; {TOKEN}={token[1]}"),
        *("--header", f"X-CSRFToken: {token[1]}"),
        *("--header", "Accept: text/event-stream", *GZIP, *from_("same-origin")),
        *("--referer", f"{nginx.url}/"),
        *("--form", "text=Hi"),
        *("--write-out", "HTTP/%{http_version}"),
    )
    with subprocess.Popen(ask, stdout=subprocess.PIPE, text=True) as reader:
        assert reader.stdout
        assert next(line for line in reader.stdout if "Hello" in line)
        upstream.release("middle")
        rest = reader.stdout.read()
    assert "world" in rest
    assert "event: end" in rest
    assert rest.endswith("HTTP/2")


def test_html_is_compressed_unless_another_site_may_have_chosen_the_address(nginx: Nginx) -> None:
    def is_compressed(path: str, site: str) -> bool:
        head = nginx.get(path, "--head", *GZIP, *from_(site)).lower()
        assert "200" in head.splitlines()[0]
        return "content-encoding: gzip" in head

    sites = ["same-origin", "none", "same-site", "cross-site", ""]
    assert [site for site in sites if is_compressed("/accounts/login/", site)] == ["same-origin", "none"]
    # Static files contain nothing secret, and WhiteNoise has compressed them.
    style = re.search(r"/static/css/[\w.-]+", nginx.get("/accounts/login/"))
    assert style
    assert all(is_compressed(style[0], site) for site in sites)


def from_(site: str) -> tuple[str, str]:
    """How a browser says from which site a request comes; some do not."""
    return "--header", f"Sec-Fetch-Site: {site}" if site else "Sec-Fetch-Site:"


def test_a_body_that_is_too_large_is_refused(nginx: Nginx, tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"a" * 2_000_000)
    status = nginx.get("/c/", "--data-binary", f"@{tmp_path}/large", "--output", "/dev/null", "-w", "%{http_code}")
    assert status == "413"


def test_a_person_signs_in_over_https(nginx: Nginx, server: Server, tmp_path: Path) -> None:
    server.database.run(lambda: User.objects.create_user("alice", password="alice's password"))
    jar = ["--cookie", str(tmp_path / "jar"), "--cookie-jar", str(tmp_path / "jar")]
    page = nginx.get("/accounts/login/", *jar)
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)
    assert token
    answer = nginx.get(
        "/accounts/login/",
        *jar,
        *("--include", "--referer", f"{nginx.url}/accounts/login/"),
        *("--data-urlencode", "login=alice", "--data-urlencode", "password=alice's password"),
        *("--data-urlencode", f"csrfmiddlewaretoken={token[1]}"),
    )
    assert answer.startswith("HTTP/2 302")
    assert re.search(rf"set-cookie: {SESSION}=.*; Secure", answer)


def test_static_files_are_cached(nginx: Nginx, server: Server) -> None:
    path = re.search(r"/static/css/[\w.-]+", nginx.get("/accounts/login/"))
    assert path
    style = nginx.get(path[0])
    assert "{" in style
    server.kill()
    assert nginx.get(path[0]) == style


def test_metrics_are_not_public(nginx: Nginx) -> None:
    assert nginx.get("/metrics/", "--output", "/dev/null", "-w", "%{http_code}") == "404"


def test_the_redirect_to_https_names_the_host(nginx: Nginx) -> None:
    plain = f"http://127.0.0.1:{nginx.http_port}/accounts/login/?next=/"
    answer = httpx.get(plain, headers={"host": HOST}, trust_env=False, timeout=PATIENCE)
    assert answer.status_code == 301
    assert answer.headers["location"] == f"https://{HOST}/accounts/login/?next=/"


def test_other_names_get_no_answer(nginx: Nginx) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.get(
            f"http://127.0.0.1:{nginx.http_port}/", headers={"host": "evil.example"}, trust_env=False, timeout=PATIENCE
        )
    with httpx.Client(verify=nginx_context(nginx), trust_env=False, timeout=PATIENCE) as client:
        secure = f"https://127.0.0.1:{nginx.port}/accounts/login/"
        with pytest.raises(httpx.ConnectError):
            client.get(secure)
        named = {"sni_hostname": HOST}
        with pytest.raises(httpx.RemoteProtocolError):
            client.get(secure, headers={"host": "evil.example"}, extensions=named)
        assert client.get(secure, headers={"host": HOST}, extensions=named).status_code == 200


@pytest.mark.parametrize("path", ["/accounts/login/", "/metrics/", "/static/nowhere.css"])
def test_every_answer_demands_https_and_hides_the_version(nginx: Nginx, path: str) -> None:
    head = nginx.get(path, "--include", "--output", "-").partition("\n\n")[0].lower()
    assert head.count("strict-transport-security: max-age=63072000") == 1
    assert "server: nginx\n" in head


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_only_modern_tls_is_spoken(nginx: Nginx, version: ssl.TLSVersion) -> None:
    context = nginx_context(nginx)
    # Let this side offer what OpenSSL would refuse by itself.
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = version
    with socket.create_connection(("127.0.0.1", nginx.port)) as connection:
        if version < ssl.TLSVersion.TLSv1_2:
            with pytest.raises(ssl.SSLError):
                context.wrap_socket(connection, server_hostname=HOST)
        else:
            with context.wrap_socket(connection, server_hostname=HOST) as spoken:
                assert spoken.version() == version.name.replace("_", ".")


def test_links_to_reset_a_password_stay_out_of_the_log(nginx: Nginx) -> None:
    link = "/accounts/password/reset/key/1-secret/"
    nginx.get(link)
    httpx.get(f"http://127.0.0.1:{nginx.http_port}{link}", headers={"host": HOST}, trust_env=False, timeout=PATIENCE)
    nginx.get("/accounts/login/")
    # It writes the line after the response.
    while "/accounts/login/" not in nginx.access_log.read_text():
        time.sleep(0.01)
    logs = {path.name: path.read_text() for path in nginx.access_log.parent.glob("*.log")}
    log = logs.pop("access.log")
    assert "secret" not in log
    assert logs == {"everything.log": ""}


# Two processes


class Reader(Visitor):
    """Opens a page, asks and reads through nginx, again and again, and reconnects as the page does."""

    def __init__(self, server: Server, nginx: Nginx) -> None:
        self.client = httpx.AsyncClient(
            base_url=f"https://127.0.0.1:{nginx.port}",
            verify=nginx_context(nginx),
            headers={"host": HOST, "origin": f"https://{HOST}", "x-csrftoken": CSRF},
            cookies={SESSION: server.session_cookie("alice"), TOKEN: CSRF},
            timeout=PATIENCE,
            trust_env=False,
            event_hooks={"request": [name_host]},
        )
        self.reads = asyncio.Event()

    async def read(self, over: asyncio.Event) -> list[list[Event]]:
        """The events of each of its replies, asked for until it is over."""
        replies = []
        while not over.is_set():
            replies.append(await self._read_one())
        return replies

    async def _read_one(self) -> list[Event]:
        page = await self.client.get("/")
        assert page.status_code == 200, (page.status_code, page.text[:300])
        asked = await self.post("/c/", text="Count.")
        assert asked.status_code == 201, (asked.status_code, asked.text[:300])
        seen: list[Event] = []
        while not has_ended(seen):
            await self.read_on(asked.json()["reply"], seen)
        return seen

    async def follow(self, reply: dict[str, Any], after: int = 0) -> AsyncGenerator[Event]:
        async for event in super().follow(reply, after):
            self.reads.set()
            yield event


async def name_host(request: httpx.Request) -> None:
    """nginx completes the TLS handshake only for its own name."""
    request.extensions["sni_hostname"] = HOST


def nginx_context(nginx: Nginx) -> ssl.SSLContext:
    """Trusts the certificate although the URL has an IP address."""
    context = ssl.create_default_context(cafile=nginx.authority)
    context.check_hostname = False
    return context


async def test_a_rolling_restart_refuses_no_question_and_loses_no_event(
    server: Server, start_server: Servers, upstream: Upstream, tmp_path: Path
) -> None:
    words = [f"word {number} " for number in range(20)]
    upstream.default = [step for word in words for step in (text(word), sleep(0.05))] + [finish(), done()]
    other = start_server(server.database, OPENAI_BASE_URL=upstream.url, **PRODUCTION)
    over = asyncio.Event()
    with running(SITE, [server.port, other.port], tmp_path) as nginx:
        readers = [Reader(server, nginx) for _ in range(10)]
        async with asyncio.TaskGroup() as group:
            reading = [group.create_task(reader.read(over)) for reader in readers]
            for process in (server, other):
                for reader in readers:
                    reader.reads.clear()
                    await reader.reads.wait()
                assert await asyncio.to_thread(process.terminate) == 0
                await asyncio.to_thread(process.start)
            over.set()
        for reader in readers:
            await reader.client.aclose()
    for seen in (seen for task in reading for seen in task.result()):
        assert seen[-1].data["status"] == "complete", seen[-1]
        assert written(seen) == "".join(words)
        # A question to a process that is draining is queued until the other process claims it.
        # A snapshot, which a reader gets when a busy database did not answer at once, repeats what it has.
        seqs = [event.seq for event in seen if event.name not in ("status", "snapshot")]
        assert seqs == sorted(set(seqs)), seen
