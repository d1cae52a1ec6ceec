"""The HTML of messages, made outside the threads that serve requests."""

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from hashlib import blake2b
from sys import getsizeof

from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from chat.markdown import VERSION, plain, render
from chat.models import Message
from chat.questions import render_question

KEPT_BYTES = 32 * 1024 * 1024
# A page waits at most this many seconds for the HTML of its messages.
PATIENCE = 5.0
BUSY = _("The server is busy, so this is shown as plain text. Reload the page to see it formatted.")


class Rendering:
    """Renders texts in one thread, each text once, and keeps the HTML that was used last, up to a number of bytes.

    Several event loops may use it at once. `close` ends the thread.
    """

    def __init__(self, render: Callable[[str], SafeString] = render, kept_bytes: int = KEPT_BYTES) -> None:
        self._renders = {Message.Role.ASSISTANT: render, Message.Role.USER: render_question}
        self._kept_bytes = kept_bytes
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="rendering")
        # Guards what follows.
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, SafeString] = OrderedDict()
        self._size = 0
        self._running: dict[str, Future[SafeString]] = {}

    async def show(self, messages: Sequence[Message], patience: float = PATIENCE) -> None:
        """Set `html` of the messages.

        After `patience` seconds the rest, the oldest, becomes plain text that says why. Texts are rendered one after
        another, so a page with many slow ones does not keep other pages from theirs.
        """
        deadline = asyncio.get_running_loop().time() + patience
        for message in reversed(messages):
            try:
                async with asyncio.timeout_at(deadline):
                    message.html = await self.html(message.text, Message.Role(message.role))
            except TimeoutError:
                message.html = plain(message.text, str(BUSY))

    async def html(self, text: str, role: Message.Role = Message.Role.ASSISTANT) -> SafeString:
        """Return what somebody in this role wrote as safe HTML."""
        digest = blake2b(text.encode(errors="surrogatepass"), digest_size=16).hexdigest()
        key = f"{VERSION}:{role}:{digest}"
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
            if key not in self._running:
                self._running[key] = self._thread.submit(self._render_and_keep, key, text, self._renders[role])
            running = self._running[key]
        # Shielded, as others may wait for the same text.
        return await asyncio.shield(asyncio.wrap_future(running))

    def close(self) -> None:
        """Drop the texts that wait. The thread ends after the one at hand."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _render_and_keep(self, key: str, text: str, render: Callable[[str], SafeString]) -> SafeString:
        try:
            html = render(text)
            with self._lock:
                self._keep(key, html)
            return html
        finally:
            with self._lock:
                del self._running[key]

    def _keep(self, key: str, html: SafeString) -> None:
        self._kept[key] = html
        self._size += getsizeof(html)
        while self._size > self._kept_bytes:
            _key, oldest = self._kept.popitem(last=False)
            self._size -= getsizeof(oldest)
