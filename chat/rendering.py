"""The HTML of messages, made outside the threads that serve requests, and kept in the database."""

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from hashlib import blake2b
from itertools import batched

from asgiref.sync import sync_to_async
from django.db import Error as DatabaseError
from django.db import close_old_connections
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from chat.markdown import HTML_CHARS, TOO_MUCH, VERSION, plain, render
from chat.models import Message, MessageHtml
from chat.questions import render_question

logger = logging.getLogger(__name__)

# A page waits at most this many seconds for the HTML of its messages.
PATIENCE = 5.0
# All messages of a page together have about this many characters of HTML at most: as many as ten of the longest texts.
PAGE_CHARS = 10 * HTML_CHARS
# What is kept is read for this many messages at once: for all that a page shows unless it is asked for more.
AT_ONCE = 60
BUSY = _("The server is busy, so this is shown as plain text. Reload the page to see it formatted.")


class Rendering:
    """Renders texts in one thread, and keeps the HTML of messages in the database: whoever shows one first has it made.

    It is kept in one of `threads`, when the page that needed it has it. A text that grows, or rules of another version
    in this process, make another source, and so the HTML is made again. For a queued question it is made for each page.
    `close` ends the thread.
    """

    def __init__(self, threads: ThreadPoolExecutor, render: Callable[[str], SafeString] = render) -> None:
        self._renders = {Message.Role.ASSISTANT: render, Message.Role.USER: render_question}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="rendering")
        self._threads = threads
        # Guards what follows.
        self._lock = threading.Lock()
        self._running: dict[str, Future[SafeString]] = {}
        # Not kept yet.
        self._new: dict[str, MessageHtml] = {}

    async def show(self, messages: Sequence[Message], patience: float = PATIENCE) -> None:
        """Set `html` of the messages.

        After `patience` seconds, or PAGE_CHARS, the rest, the oldest, becomes plain text that says why. Texts are
        rendered one after another, so a page with many slow ones does not keep other pages from theirs.
        """
        deadline, left = asyncio.get_running_loop().time() + patience, PAGE_CHARS
        for some in batched(reversed(messages), AT_ONCE):
            sources = {message.pk: _source(message) for message in some}
            kept = await sync_to_async(MessageHtml.objects.made_of)(sources) if left > 0 else {}
            for message in some:
                if left <= 0:
                    message.html = plain(message.text, TOO_MUCH)
                elif message.pk in kept:
                    message.html = SafeString(kept[message.pk])
                else:
                    message.html = await self._html_before(deadline, message, sources[message.pk])
                left -= len(message.html)
        if self._new:
            self._threads.submit(self._keep)

    def close(self) -> None:
        """Drop the texts that wait. The thread ends after the one at hand."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _html_before(self, deadline: float, message: Message, source: str) -> SafeString:
        try:
            async with asyncio.timeout_at(deadline):
                return await self._html(message, source)
        except TimeoutError:
            return plain(message.text, str(BUSY))

    async def _html(self, message: Message, source: str) -> SafeString:
        with self._lock:
            if source in self._new:
                return SafeString(self._new[source].html)
            if source not in self._running:
                self._running[source] = self._thread.submit(self._render, message, source)
            running = self._running[source]
        # Shielded, as others may wait for the same text.
        return await asyncio.shield(asyncio.wrap_future(running))

    def _render(self, message: Message, source: str) -> SafeString:
        try:
            html = self._renders[Message.Role(message.role)](message.text)
            # A question that is still queued has no row to keep its HTML for.
            if message.is_final and not message._state.adding:
                with self._lock:
                    self._new[source] = MessageHtml(message=message, source=source, html=html)
            return html
        finally:
            with self._lock:
                del self._running[source]

    def _keep(self) -> None:
        with self._lock:
            rows = list(self._new.values())
            self._new.clear()
        try:
            MessageHtml.objects.keep(rows)
        except DatabaseError:
            logger.warning("The HTML of %d messages is made again: it could not be kept", len(rows), exc_info=True)
        finally:
            close_old_connections()


def _source(message: Message) -> str:
    """What the HTML of a message depends on: the rules, the role and the text."""
    digest = blake2b(message.text.encode(errors="surrogatepass"), digest_size=16).hexdigest()
    return f"{VERSION}:{message.role}:{digest}"
