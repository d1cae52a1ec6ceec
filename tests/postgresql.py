"""A PostgreSQL server for tests, made from nothing and gone without a trace."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from tests.programs import free_port, program


@contextmanager
def postgresql() -> Iterator[str]:
    """A DATABASE_URL of a server that runs until the end of the block."""
    # PostgreSQL refuses to run as root, and in a folder of pytest's it could not read.
    user = "postgres" if os.geteuid() == 0 else None
    with tempfile.TemporaryDirectory() as folder:
        if user:
            shutil.chown(folder, user)
        # In the plain locale C letters beyond ASCII have no upper and lower case.
        options = ["--username=parley", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"]
        subprocess.run([program("initdb"), *options, folder], user=user, cwd=folder, check=True, capture_output=True)
        port = free_port()
        place = ["-D", folder, "-h", "127.0.0.1", "-p", str(port), "-k", folder]
        # Errors of single statements are part of the tests.
        quietly = ["-c", "fsync=off", "-c", "log_min_messages=log", "-c", "max_connections=300"]
        command = [program("postgres"), *place, *quietly]
        with (
            subprocess.Popen(command, user=user, cwd=folder, stderr=subprocess.PIPE, text=True) as process,
            ThreadPoolExecutor(1) as reader,
        ):
            try:
                assert process.stderr
                next(line for line in process.stderr if "ready to accept connections" in line)
                # A server whose log nobody reads stands still as soon as the pipe is full.
                reader.submit(process.stderr.read)
                yield f"postgresql://parley@127.0.0.1:{port}/postgres"
            finally:
                # Its "fast" shutdown: sessions that are still open are closed.
                process.send_signal(signal.SIGINT)
