"""httpx's requests over aiohttp's connections, down to the last byte that arrived before a connection broke."""

from collections.abc import AsyncIterator

import aiohttp
import httpx
import httpx_aiohttp
from httpx_aiohttp.transport import AiohttpResponseStream


class AiohttpTransport(httpx_aiohttp.AiohttpTransport):
    def __init__(self) -> None:
        super().__init__(client=_session)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await super().handle_async_request(request)
        if isinstance(response.stream, AiohttpResponseStream):
            response.stream = _Stream(response.stream._aiohttp_response)
        return response


class _Stream(AiohttpResponseStream):
    async def __aiter__(self) -> AsyncIterator[bytes]:
        content = self._aiohttp_response.content
        try:
            async for chunk in content.iter_chunked(self.CHUNK_SIZE):
                yield chunk
        # aiohttp raises a bare RuntimeError when the connection has closed after an invalid chunk size.
        except (aiohttp.ClientError, RuntimeError) as error:
            # While an exception is set, the stream refuses to return buffered data: clear it to read the rest.
            content.set_exception(None)  # type: ignore[arg-type]
            if rest := content.read_nowait():
                yield rest
            raise httpx.ReadError(type(error).__name__) from error


def _session() -> aiohttp.ClientSession:
    # Without a limit on connections: a reply must not wait for another one to end. No cookies: what an endpoint sets
    # for one person's question must not come along with another's.
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False
    )
