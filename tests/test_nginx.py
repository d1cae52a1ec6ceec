"""docs/nginx.conf in front of a real server: streams, limits and sign-in over HTTP/2 and TLS."""

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib.auth.models import User

from tests.programs import program
from tests.server import Server, Servers, free_port
from tests.upstream import Upstream, done, finish, pause, text

pytestmark = pytest.mark.nginx

HOST = "chat.example.org"


@dataclass(frozen=True)
class Nginx:
    """A running nginx, and the address under which curl reaches it."""

    url: str
    certificate: Path
    port: int

    def curl(self, path: str, *options: str) -> list[str]:
        """A command that asks for `path` over HTTP/2 and TLS and does not buffer what it receives."""
        connection = ["--http2", "--cacert", str(self.certificate), "--resolve", f"{HOST}:{self.port}:127.0.0.1"]
        return [program("curl"), "--silent", "--no-buffer", *connection, *options, f"{self.url}{path}"]

    def get(self, path: str, *options: str) -> str:
        return subprocess.check_output(self.curl(path, *options), text=True)


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
    )


@pytest.fixture
def nginx(server: Server, tmp_path: Path) -> Iterator[Nginx]:
    """nginx with the example as it is, but for its ports and the places of its files."""
    certificate, key, port = tmp_path / "certificate.pem", tmp_path / "key.pem", free_port()
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    name = ["-subj", f"/CN={HOST}", "-addext", f"subjectAltName=DNS:{HOST}"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(
        [program("openssl"), "req", "-x509", "-nodes", *curve, *name, *files], check=True, capture_output=True
    )
    site = (settings.BASE_DIR / "docs/nginx.conf").read_text()
    for example, here in {
        "server 127.0.0.1:8000;": f"server 127.0.0.1:{server.port};",
        "listen 80;": f"listen 127.0.0.1:{free_port()};",
        "listen 443 ssl http2;": f"listen 127.0.0.1:{port} ssl http2;",
        f"/etc/letsencrypt/live/{HOST}/fullchain.pem": str(certificate),
        f"/etc/letsencrypt/live/{HOST}/privkey.pem": str(key),
        "/var/cache/nginx/parley": str(tmp_path / "cache"),
    }.items():
        assert site.count(example) == 1
        site = site.replace(example, here)
    (tmp_path / "site.conf").write_text(site)
    (tmp_path / "nginx.conf").write_text(
        f"""
        daemon off;
        master_process off;
        pid {tmp_path}/pid;
        error_log stderr notice;
        events {{}}
        http {{
            access_log off;
            client_body_temp_path {tmp_path}/body;
            proxy_temp_path {tmp_path}/proxy;
            fastcgi_temp_path {tmp_path}/fastcgi;
            uwsgi_temp_path {tmp_path}/uwsgi;
            scgi_temp_path {tmp_path}/scgi;
            include {tmp_path}/site.conf;
        }}
        """
    )
    process = subprocess.Popen(
        [program("nginx"), "-p", tmp_path, "-c", tmp_path / "nginx.conf"], stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stderr
        # It says so when it already listens.
        next(line for line in process.stderr if "getrlimit" in line)
        yield Nginx(f"https://{HOST}:{port}", certificate, port)
    finally:
        process.terminate()
        process.communicate()


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
