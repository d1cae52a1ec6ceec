"""What a server may speak to the application besides HTTP."""

from chat.process import Process
from config.server.asgi import Application, Receive, Scope, Send


class Protocols:
    """ASGI middleware that starts and ends the process when the server says so, and refuses WebSockets.

    Daphne does not say so; config/server/daphne.py does it instead.
    """

    def __init__(self, application: Application, process: Process) -> None:
        self._application = application
        self._process = process

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._application(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            # Closed before it was accepted: the server answers the handshake with 403.
            await send({"type": "websocket.close"})
        elif scope["type"] == "lifespan":
            await receive()
            self._process.start()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await self._process.drain()
            await self._process.close()
            await send({"type": "lifespan.shutdown.complete"})
        else:
            raise ValueError(f"Parley does not speak {scope['type']}.")
