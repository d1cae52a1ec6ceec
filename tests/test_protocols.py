"""The ASGI application under any server: Twisted is not needed, and only HTTP is spoken."""

import subprocess
import sys
from typing import Any, cast

import pytest
from django.conf import settings

from chat.process import Process
from config.server.asgi import Message, Receive, Scope, Send
from config.server.protocols import Protocols


class Life:
    """A process, and an application that notes what they are told to do."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.application = Protocols(self._serve, cast("Process", self))

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.told.append("serve")

    def start(self) -> None:
        self.told.append("start")

    async def drain(self) -> None:
        self.told.append("drain")

    async def close(self) -> None:
        self.told.append("close")


async def talk(life: Life, kind: str, *received: str) -> list[str]:
    """The types of the messages that the application sends when it is sent these."""
    messages = iter(received)
    sent: list[str] = []

    async def receive() -> Message:
        return {"type": next(messages)}

    async def send(message: Any) -> None:
        sent.append(message["type"])

    await life.application({"type": kind}, receive, send)
    return sent


async def test_requests_are_served() -> None:
    life = Life()
    await talk(life, "http")
    assert life.told == ["serve"]


async def test_a_websocket_is_closed_before_it_is_accepted() -> None:
    life = Life()
    assert await talk(life, "websocket", "websocket.connect") == ["websocket.close"]
    assert life.told == []


async def test_the_process_starts_and_ends_when_the_server_says_so() -> None:
    life = Life()
    sent = await talk(life, "lifespan", "lifespan.startup", "lifespan.shutdown")
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert life.told == ["start", "drain", "close"]


async def test_nothing_else_is_spoken() -> None:
    with pytest.raises(ValueError, match="does not speak smtp"):
        await talk(Life(), "smtp")


def test_another_server_loads_the_application_without_twisted() -> None:
    script = "import sys, config.asgi; print([name for name in sys.modules if name.partition('.')[0] == 'twisted'])"
    command = [sys.executable, "-c", script]
    assert subprocess.check_output(command, cwd=settings.BASE_DIR, text=True).strip() == "[]"
