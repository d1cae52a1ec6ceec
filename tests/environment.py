"""The environment of all tests, loaded by pytest's `-p` before Django reads its settings.

No `.env` file and no exported key may reach a test or a server that a test starts.
"""

import atexit
import fcntl
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

FOREIGN = (
    *("CHAT_", "AUDIT_", "OPENAI_", "SECRET_KEY_", "SECURE_", "EMAIL_", "ALLOWED_HOSTS", "CSRF_", "REDIS_"),
    *("TIME_ZONE", "DEFAULT_FROM_"),
)

# A proxy of the environment would answer instead of the scripted endpoint.
for name in [name for name in os.environ if name.startswith(FOREIGN) or name.lower().endswith("_proxy")]:
    del os.environ[name]

os.environ.update(ENV_FILE=os.devnull, DEBUG="0", SECRET_KEY="tests-only-" * 5, SECURE_COOKIES="0")
# Mails are on the console, where tests read them.
os.environ["EMAIL_URL"] = "consolemail://"
# Tests ask faster than people do.
os.environ.update(CHAT_PERSON_RUNNING="1000", CHAT_PERSON_QUESTIONS="10000")
# Titles would be requests that most tests do not expect.
os.environ["CHAT_TITLES"] = "0"
# What all processes of a run share is in one folder, which the first of them makes and removes.
if "TESTS_FOLDER" not in os.environ:
    folder = tempfile.TemporaryDirectory(prefix="parley-tests-")
    atexit.register(folder.cleanup)
    os.environ["TESTS_FOLDER"] = folder.name
# The suites of `make test` share more: what they would all make alike, and never change.
os.environ.setdefault("TESTS_SHARED", os.environ["TESTS_FOLDER"])
os.environ["STATIC_ROOT"] = f"{os.environ['TESTS_FOLDER']}/static"
# The suites that also run on Redis learn of it by a name that nobody exports for anything else.
if url := os.environ.get("TESTS_REDIS_URL"):
    os.environ["REDIS_URL"] = url
# DATABASE_URL stays: the tests run on any database that Parley runs on.


def once(name: str, make: Callable[[], object], folder: str = "TESTS_FOLDER") -> None:
    """Make something that all processes of a run share, or of all suites, unless one of them has made it."""
    made = Path(os.environ[folder], name)
    with Path(f"{made}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            make()
            made.touch()
