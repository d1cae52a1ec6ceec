"""docs/nginx.conf in front of a real server: streams, limits and sign-in over HTTP/2 and TLS."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib.auth.models import User

from tests.nginx import HOST, Nginx, running
from tests.server import Server, Servers
from tests.upstream import Upstream, done, finish, pause, text

pytestmark = pytest.mark.nginx

SITE = (settings.BASE_DIR / "docs/nginx.conf").read_text()


@pytest.fixture
def server(start_server: Servers, upstream: Upstream, collected_static: None) -> Server:
    """A server as in production."""
    return start_server(
        DEBUG="0",
        OPENAI_BASE_URL=upstream.url,
        OPENAI_MODEL="scripted",
        ALLOWED_HOSTS=HOST,
        SECURE_COOKIES="1",
        SECURE_SSL_REDIRECT="1",
        CHAT_METRICS="1",
    )


@pytest.fixture
def nginx(server: Server, tmp_path: Path) -> Iterator[Nginx]:
    with running(SITE, [server.port], tmp_path) as nginx:
        yield nginx


def test_a_stream_arrives_before_the_reply_has_ended(nginx: Nginx, server: Server, upstream: Upstream) -> None:
    upstream.script(text("Hello"), pause("middle"), text(" world"), finish(), done())
    session = server.session_cookie("alice")
    page = nginx.get("/", "--include", "--cookie", f"sessionid={session}")
    token = re.search(r"csrftoken=(\w+)", page)
    assert token
    ask = nginx.curl(
        "/c/",
        *("--cookie", f"sessionid={session}; csrftoken={token[1]}"),
        *("--header", f"X-CSRFToken: {token[1]}"),
        *("--header", "Accept: text/event-stream"),
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
    assert re.search(r"set-cookie: sessionid=.*; Secure", answer)


def test_static_files_are_remembered(nginx: Nginx, server: Server) -> None:
    path = re.search(r"/static/css/[\w.-]+", nginx.get("/accounts/login/"))
    assert path
    style = nginx.get(path[0])
    assert "{" in style
    server.kill()
    assert nginx.get(path[0]) == style


def test_the_figures_of_a_process_stay_inside(nginx: Nginx) -> None:
    assert nginx.get("/metrics/", "--output", "/dev/null", "-w", "%{http_code}") == "404"
