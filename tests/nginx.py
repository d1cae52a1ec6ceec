"""The example for nginx, run by a real nginx in front of real servers."""

import re
import subprocess
import threading
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path

import trustme
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import load_pem_x509_certificate

from tests.programs import free_port, program

HOST = "chat.example.org"
PROCESS = "server 127.0.0.1:{} max_fails=0;"


@dataclass(frozen=True)
class Nginx:
    """A running nginx, and the address under which curl reaches it."""

    url: str
    authority: Path
    port: int
    http_port: int
    access_log: Path

    def curl(self, path: str, *options: str) -> list[str]:
        """A command that asks for `path` over HTTP/2 and TLS and does not buffer what it receives."""
        connection = ["--http2", "--cacert", str(self.authority), "--resolve", f"{HOST}:{self.port}:127.0.0.1"]
        return [program("curl"), "--silent", "--no-buffer", *connection, *options, f"{self.url}{path}"]

    def get(self, path: str, *options: str) -> str:
        return subprocess.check_output(self.curl(path, *options), text=True)


@cache
def _certificate() -> tuple[trustme.CA, trustme.LeafCert]:
    """An authority of this process's own, and its certificate for the host."""
    authority = trustme.CA()
    return authority, authority.issue_cert(HOST)


def key_digest() -> str:
    """The SHA-256 of the key in the certificate, by which Chromium is told to trust it."""
    certificate = load_pem_x509_certificate(_certificate()[1].cert_chain_pems[0].bytes())
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return b64encode(sha256(key).digest()).decode()


def version() -> tuple[int, ...]:
    told = subprocess.run([program("nginx"), "-v"], check=True, capture_output=True, text=True).stderr
    return tuple(map(int, told.partition("nginx/")[2].split()[0].split(".")))


@contextmanager
def running(site: str, processes: list[int], folder: Path) -> Iterator[Nginx]:
    """nginx with this site in front of the processes at these ports; only ports and places of files are changed."""
    authority, certificate = folder / "authority.pem", folder / "certificate.pem"
    issuer, issued = _certificate()
    issuer.cert_pem.write_to_path(authority)
    issued.private_key_and_cert_chain_pem.write_to_path(certificate)
    port, http_port = free_port(), free_port()
    for example, here in {
        f"    {PROCESS.format(8000)}\n": "\n".join(PROCESS.format(process) for process in processes),
        f"/etc/letsencrypt/live/{HOST}/fullchain.pem": str(certificate),
        f"/etc/letsencrypt/live/{HOST}/privkey.pem": str(certificate),
        "/var/cache/nginx/parley": str(folder / "cache"),
        "/var/log/nginx/access.log": str(folder / "access.log"),
    }.items():
        assert site.count(example) == 1
        site = site.replace(example, here)
    for number, used in {80: http_port, 443: port}.items():
        site, count = re.subn(rf"^    listen {number}\b", f"    listen 127.0.0.1:{used}", site, flags=re.MULTILINE)
        assert count == 2
    if version() < (1, 25, 1):
        # As the comment in it says.
        assert site.count("    http2 on;\n") == 1
        site = site.replace("    http2 on;\n", "").replace(f"{port} ssl;", f"{port} ssl http2;")
    (folder / "site.conf").write_text(site)
    (folder / "nginx.conf").write_text(
        f"""
        daemon off;
        master_process off;
        pid {folder}/pid;
        error_log stderr notice;
        events {{}}
        http {{
            # As in Debian's nginx.conf: the site has to override what it does not want.
            access_log {folder}/everything.log;
            ssl_protocols TLSv1 TLSv1.1 TLSv1.2 TLSv1.3;
            client_body_temp_path {folder}/body;
            proxy_temp_path {folder}/proxy;
            fastcgi_temp_path {folder}/fastcgi;
            uwsgi_temp_path {folder}/uwsgi;
            scgi_temp_path {folder}/scgi;
            include {folder}/site.conf;
        }}
        """
    )
    process = subprocess.Popen(
        [program("nginx"), "-p", folder, "-c", folder / "nginx.conf"], stderr=subprocess.PIPE, text=True
    )
    assert process.stderr
    # It says so when it already listens.
    next(line for line in process.stderr if "getrlimit" in line)
    # nginx would wait for ever to write into a full pipe.
    reading = threading.Thread(target=process.stderr.read)
    reading.start()
    try:
        yield Nginx(f"https://{HOST}:{port}", authority, port, http_port, folder / "access.log")
    finally:
        process.terminate()
        reading.join()
        process.stderr.close()
        process.wait()
