"""What a server may speak to the application besides HTTP."""

from collections.abc import Awaitable, Callable

from config.server.asgi import Application, Receive, Scope, Send


class Protocols:
    """ASGI middleware that starts and drains the process when the server says so, and refuses WebSockets.

    Daphne says nothing about its start and end; config/server/daphne.py calls `start` and `drain` itself.
    """

    def __init__(
        self, application: Application, start: Callable[[], None], drain: Callable[[], Awaitable[None]]
    ) -> None:
        self._application = application
        self._start = start
        self._drain = drain

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._application(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            # Closed before it was accepted: the server answers the handshake with 403.
            await send({"type": "websocket.close"})
        elif scope["type"] == "lifespan":
            await receive()
            self._start()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await self._drain()
            await send({"type": "lifespan.shutdown.complete"})
        else:
            raise ValueError(f"Parley does not speak {scope['type']}.")
