"""A PostgreSQL server that exists only for tests."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from pathlib import Path

from tests.programs import free_port, program


@contextmanager
def postgresql(kept: Path | None = None) -> Iterator[str]:
    """The DATABASE_URL of a server that runs until the end of the block, with its data in a folder that is `kept`."""
    # PostgreSQL refuses to run as root, and its own user cannot read a folder of pytest's.
    user = "postgres" if os.geteuid() == 0 else None
    with nullcontext(str(kept)) if kept else tempfile.TemporaryDirectory() as folder:
        if user:
            shutil.chown(folder, user)
        if not Path(folder, "PG_VERSION").exists():
            # In the locale C only ASCII letters have upper and lower case.
            options = ["--username=parley", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"]
            subprocess.run(
                [program("initdb"), *options, folder], user=user, cwd=folder, check=True, capture_output=True
            )
        port = free_port()
        place = ["-D", folder, "-h", "127.0.0.1", "-p", str(port), "-k", folder]
        # Tests provoke errors of single statements. Whether autovacuum had looked at a table decided about its plans.
        settings = ["fsync=off", "log_min_messages=log", "max_connections=300", "autovacuum=off"]
        command = [program("postgres"), *place, *(f"-c{setting}" for setting in settings)]
        with (
            subprocess.Popen(command, user=user, cwd=folder, stderr=subprocess.PIPE, text=True) as process,
            ThreadPoolExecutor(1) as reader,
        ):
            try:
                assert process.stderr
                next(line for line in process.stderr if "ready to accept connections" in line)
                # A server blocks when nobody reads its log and the pipe is full.
                reader.submit(process.stderr.read)
                yield f"postgresql://parley@127.0.0.1:{port}/postgres"
            finally:
                # A "fast" shutdown, which closes the sessions that are still open.
                process.send_signal(signal.SIGINT)
