"""Log lines, for people and for machines: the ids are there, and nothing that people or models wrote."""

import asyncio
import json
import logging
import re
import sys
from typing import Any
from uuid import UUID

import pytest
from django.conf import settings
from django.db import connection

from chat.logs import JSONFormatter, LineFormatter
from tests.server import Server, Servers
from tests.upstream import Upstream, chunk, cut, document, error, garbage, html, reasoning, text
from tests.visitor import Visitor

MARKER = "xylophone"
KEY = "sk-secret"


def line(message: str, **fields: Any) -> dict[str, Any]:
    """The JSON object that the formatter writes for a record."""
    record = logging.makeLogRecord({"msg": message, "levelname": "ERROR", "name": "chat.generation", **fields})
    written: dict[str, Any] = json.loads(JSONFormatter().format(record))
    return written


def test_a_line_has_time_level_logger_and_message() -> None:
    assert line("Reply %s: %s", args=("7", "cut_off"), created=0.5) == {
        "time": "1970-01-01T00:00:00.500000+00:00",
        "level": "ERROR",
        "logger": "chat.generation",
        "message": "Reply 7: cut_off",
    }


def test_ids_have_their_own_fields() -> None:
    ids = {"reply": UUID(int=1), "conversation": UUID(int=2), "server": "host:1:ab"}
    assert ids.keys() <= line("Ended", **ids).keys()
    assert line("Ended", **ids)["reply"] == "00000000-0000-0000-0000-000000000001"


FORMATTERS: list[logging.Formatter] = [JSONFormatter(), LineFormatter("{levelname} {message}", style="{")]


@pytest.fixture
def failure() -> Any:
    """An exception with a cause, both of whose messages are secrets, as `exc_info`."""
    try:
        try:
            raise LookupError(MARKER)
        except LookupError as missing:
            raise RuntimeError(MARKER) from missing
    except RuntimeError:
        return sys.exc_info()


@pytest.mark.parametrize("formatter", FORMATTERS, ids=lambda formatter: type(formatter).__name__)
def test_neither_form_holds_the_message_of_an_exception(formatter: logging.Formatter, failure: Any) -> None:
    record = logging.makeLogRecord({"msg": "Could not be stored", "exc_info": failure})
    written = formatter.format(record)
    assert "Could not be stored" in written
    assert __file__ in written
    assert "builtins.LookupError" in written
    assert "builtins.RuntimeError" in written
    assert MARKER not in written.replace("MARKER", "")


@pytest.mark.parametrize("formatter", FORMATTERS, ids=lambda formatter: type(formatter).__name__)
def test_neither_form_shows_the_tasks_of_asyncio(formatter: logging.Formatter) -> None:
    message = f"Task exception was never retrieved\nfuture: <Task exception=ValueError('{MARKER}')>"
    written = formatter.format(logging.makeLogRecord({"msg": message, "name": "asyncio"}))
    assert "Task exception was never retrieved" in written
    assert MARKER not in written


def test_an_exception_has_its_own_fields(failure: Any) -> None:
    written = line("Could not be stored", exc_info=failure)
    assert written["exception"] == "builtins.RuntimeError"
    assert re.findall(r"^builtins\.\w+", written["stack"], re.MULTILINE) == [
        "builtins.LookupError",
        "builtins.RuntimeError",
    ]


# A real server


@pytest.fixture
def server(start_server: Servers, upstream: Upstream, collected_static: None) -> Server:
    """A server as in production."""
    return start_server(
        DEBUG="0",
        CHAT_LOG_JSON="1",
        OPENAI_BASE_URL=upstream.url,
        OPENAI_API_KEY=KEY,
        OPENAI_MODEL="small",
        # A reply that cannot be stored never ends.
        CHAT_DRAIN_SECONDS="0",
    )


def lines(log: str) -> list[dict[str, Any]]:
    """The log without the lines of Daphne's access log."""
    access = re.compile(r"127\.0\.0\.1:\d+ - - \[")
    return [json.loads(line) for line in log.splitlines() if not access.match(line)]


def ends(log: str) -> list[dict[str, Any]]:
    """The lines that tell how the eight replies have ended, once all are there."""
    found = [line for line in lines(log) if "reply" in line]
    return found if len({line["reply"] for line in found}) == 8 else []


def failures(log: str) -> list[dict[str, Any]]:
    return [line for line in lines(log) if "stack" in line]


@pytest.mark.any_store
async def test_failing_endpoints_leave_no_text_or_key_in_the_log(server: Server, upstream: Upstream) -> None:
    echo = {"error": {"message": f"{KEY} may not ask about a {MARKER}"}}
    async with Visitor(server, "alice") as alice:
        for script in (
            error(401, echo),
            error(400, echo),
            html(),
            garbage(),
            document(200, "application/json", json.dumps(echo).encode()),
            [reasoning(MARKER), text(MARKER), cut()],
            [text(MARKER), chunk(echo)],
            [],
        ):
            upstream.script(*script)
            await alice.whole(await alice.ask(f"What is a {MARKER}?"))
        refused = await alice.client.post("/c/", content=f'{{"text": "{MARKER}'.encode())
        assert refused.status_code >= 400
    ended = await asyncio.to_thread(server.wait_for, ends)
    assert all(line["server"] and line["conversation"] for line in ended)
    for secret in (MARKER, KEY, upstream.url, str(upstream.port)):
        assert secret not in server.log()


@pytest.mark.skipif(bool(settings.REDIS_URL), reason="it is about the log in the database")
async def test_a_failing_store_leaves_no_text_in_the_log(server: Server, upstream: Upstream) -> None:
    def lose_the_log() -> None:
        with connection.cursor() as cursor:
            cursor.execute("DROP TABLE chat_replyevent")

    server.database.run(lose_the_log)
    upstream.script(text(MARKER), cut())
    async with Visitor(server, "alice") as alice:
        await alice.ask(f"What is a {MARKER}?")
        failed = await asyncio.to_thread(server.wait_for, failures)
    assert failed[0]["exception"].startswith("django.db.utils.")
    assert MARKER not in server.log()
    # It would try for a while to store the reply.
    server.kill()
