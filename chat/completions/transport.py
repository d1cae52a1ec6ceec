"""httpx's requests over aiohttp's connections (docs/decisions/0010-aiohttp-under-httpx.md says why)."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from functools import cache
from urllib.request import getproxies, proxy_bypass

import aiohttp
import httpx


class AiohttpTransport(httpx.AsyncBaseTransport):
    """Opens its session on the first request, and belongs to that one's event loop.

    Honours the environment's proxies. Follows no redirects, keeps no cookies, leaves bodies as they are encoded and
    knows no time limit but that for the connection.
    """

    _session: aiohttp.ClientSession | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self._session is None:
            self._session = _session()
        try:
            response = await self._session.request(
                request.method,
                str(request.url),
                data=await request.aread(),
                headers=request.headers,
                allow_redirects=False,
                proxy=_proxy(request.url),
                timeout=aiohttp.ClientTimeout(connect=request.extensions["timeout"]["connect"]),
            )
        except aiohttp.ClientError as error:
            raise httpx.NetworkError(type(error).__name__) from error
        return httpx.Response(response.status, headers=response.raw_headers, stream=_Body(response))

    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.close()


class _Body(httpx.AsyncByteStream):
    """The bytes of a response, including those that arrived before its connection broke.

    Between two reads the connection is not read: what arrives meanwhile is read and parsed at once, not in pieces.
    """

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        content = self._response.content
        try:
            async for chunk in content.iter_any():
                transport = self._transport
                if transport:
                    transport.pause_reading()
                try:
                    yield chunk
                finally:
                    if transport:
                        transport.resume_reading()
        # aiohttp raises a bare RuntimeError when the connection has closed after an invalid chunk size.
        except (aiohttp.ClientError, RuntimeError) as error:
            # While an exception is set, the stream refuses to return buffered data: clear it to read the rest.
            content.set_exception(None)  # type: ignore[arg-type]
            if rest := content.read_nowait():
                yield rest
            raise httpx.ReadError(type(error).__name__) from error

    @property
    def _transport(self) -> asyncio.Transport | None:
        # At the end of the body the response gives its connection back.
        connection = self._response.connection
        return connection.transport if connection else None

    async def aclose(self) -> None:
        self._response.release()


def _session() -> aiohttp.ClientSession:
    # No limit on connections: a reply must not wait for another one to end. Cookies are httpx's business.
    connector = aiohttp.TCPConnector(limit=0, ssl=_tls())
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        timeout=aiohttp.ClientTimeout(total=None),
    )


@cache
def _tls() -> ssl.SSLContext:
    """Of all sessions, as it takes some 10 ms to read the certificates of this host."""
    return ssl.create_default_context()


def _proxy(url: httpx.URL) -> str | None:
    """Return the proxy that HTTPS_PROXY, HTTP_PROXY and NO_PROXY name for an address.

    aiohttp's own `trust_env` would also look into ~/.netrc, and refuse the request if that has a password for the host.
    """
    proxy = getproxies().get(url.scheme)
    if not proxy or proxy_bypass(url.netloc.decode()):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"
