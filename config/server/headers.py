"""Headers that every response carries and Django has no setting for."""

from config.server.asgi import Application, Message, Receive, Scope, Send

HEADERS = {
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
    # Chromium would look up the host of each link that a model writes.
    "x-dns-prefetch-control": "off",
}
_ENCODED = [(name.encode(), value.encode()) for name, value in HEADERS.items()]


class Headers:
    """ASGI middleware that adds them."""

    def __init__(self, application: Application) -> None:
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *_ENCODED]
            await send(message)

        await self._application(scope, receive, send_with_headers)
