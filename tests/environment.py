"""The environment of all tests, loaded by pytest's `-p` before Django reads its settings.

Nobody's `.env` and nobody's exported key may reach a test or a server that a test starts.
"""

import os

FOREIGN = ("CHAT_", "OPENAI_", "SECURE_", "EMAIL_", "ALLOWED_HOSTS", "CSRF_", "REDIS_", "TIME_ZONE", "DEFAULT_FROM_")

for name in [name for name in os.environ if name.startswith(FOREIGN)]:
    del os.environ[name]

os.environ.update(ENV_FILE=os.devnull, DEBUG="0", SECRET_KEY="tests-only-" * 5, SECURE_COOKIES="0")
# Tests ask more quickly than people.
os.environ.update(CHAT_PERSON_RUNNING="1000", CHAT_PERSON_QUESTIONS="10000")
# The suites that run once more on Redis are told so by a name that nobody exports for anything else.
if url := os.environ.get("TESTS_REDIS_URL"):
    os.environ["REDIS_URL"] = url
# A given DATABASE_URL stays: the suite runs on any database that Parley runs on.
