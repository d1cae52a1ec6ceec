"""The example for nginx, run by a real nginx in front of real servers."""

import re
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.programs import free_port, program

HOST = "chat.example.org"
PROCESS = "server 127.0.0.1:{} max_fails=0;"


@dataclass(frozen=True)
class Nginx:
    """A running nginx, and the address under which curl reaches it."""

    url: str
    certificate: Path
    port: int
    http_port: int
    access_log: Path

    def curl(self, path: str, *options: str) -> list[str]:
        """A command that asks for `path` over HTTP/2 and TLS and does not buffer what it receives."""
        connection = ["--http2", "--cacert", str(self.certificate), "--resolve", f"{HOST}:{self.port}:127.0.0.1"]
        return [program("curl"), "--silent", "--no-buffer", *connection, *options, f"{self.url}{path}"]

    def get(self, path: str, *options: str) -> str:
        return subprocess.check_output(self.curl(path, *options), text=True)


def version() -> tuple[int, ...]:
    told = subprocess.run([program("nginx"), "-v"], check=True, capture_output=True, text=True).stderr
    return tuple(map(int, told.partition("nginx/")[2].split()[0].split(".")))


@contextmanager
def running(site: str, processes: list[int], folder: Path) -> Iterator[Nginx]:
    """nginx with this site in front of the processes at these ports; only ports and places of files are changed."""
    certificate, key, port = folder / "certificate.pem", folder / "key.pem", free_port()
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    name = ["-subj", f"/CN={HOST}", "-addext", f"subjectAltName=DNS:{HOST}"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(
        [program("openssl"), "req", "-x509", "-nodes", *curve, *name, *files], check=True, capture_output=True
    )
    http_port = free_port()
    for example, here in {
        f"    {PROCESS.format(8000)}\n": "\n".join(PROCESS.format(process) for process in processes),
        f"/etc/letsencrypt/live/{HOST}/fullchain.pem": str(certificate),
        f"/etc/letsencrypt/live/{HOST}/privkey.pem": str(key),
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
        yield Nginx(f"https://{HOST}:{port}", certificate, port, http_port, folder / "access.log")
    finally:
        process.terminate()
        reading.join()
        process.stderr.close()
        process.wait()
