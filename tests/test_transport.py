"""httpx over aiohttp: proxies, certificates, connections, and what is left as it comes."""

import asyncio
import os
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
import trustme

from chat.completions import transport
from chat.completions.transport import AiohttpTransport
from tests.forwarding import Forwarder, forward_proxy, tls
from tests.upstream import Upstream, document, hang, head, text

HOST = "models.example"


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    # Certificates are read once, and some tests bring their own.
    transport._tls.cache_clear()
    async with httpx.AsyncClient(transport=AiohttpTransport(), timeout=httpx.Timeout(None, connect=60)) as client:
        yield client
    transport._tls.cache_clear()


@pytest.fixture
def proxy(upstream: Upstream) -> Iterator[Forwarder]:
    with forward_proxy(upstream.port) as proxy:
        yield proxy


async def ask(client: httpx.AsyncClient, base_url: str) -> str:
    response = await client.post(f"{base_url}/chat/completions", json={"model": "small"})
    return response.text


# Proxies


@pytest.mark.parametrize("scheme", ["http://", ""])
async def test_http_goes_through_the_proxy(
    client: httpx.AsyncClient, proxy: Forwarder, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"{scheme}127.0.0.1:{proxy.port}")
    assert "Hello" in await ask(client, f"http://{HOST}/v1")
    assert proxy.heads[0].startswith(f"POST http://{HOST}/v1/chat/completions HTTP/1.1")


async def test_the_proxy_gets_its_password(
    client: httpx.AsyncClient, proxy: Forwarder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", f"http://parley:secret@127.0.0.1:{proxy.port}")
    assert "Hello" in await ask(client, f"http://{HOST}/v1")
    assert "Proxy-Authorization: Basic cGFybGV5OnNlY3JldA==" in proxy.heads[0]


async def test_https_goes_through_a_tunnel_and_trusts_the_given_certificate(
    client: httpx.AsyncClient, upstream: Upstream, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    with tls(upstream.port, server_context(authority, HOST)) as front, forward_proxy(front.port) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
        assert "Hello" in await ask(client, f"https://{HOST}/v1")
    assert proxy.heads[0].startswith(f"CONNECT {HOST}:443 HTTP/1.1")


async def test_no_proxy_names_hosts_to_reach_directly(
    client: httpx.AsyncClient, upstream: Upstream, proxy: Forwarder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
    monkeypatch.setenv("NO_PROXY", "localhost,127.0.0.1")
    assert "Hello" in await ask(client, upstream.url)
    assert proxy.heads == []


async def test_a_silent_proxy_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{silent.getsockname()[1]}")
        async with httpx.AsyncClient(transport=AiohttpTransport(), timeout=httpx.Timeout(None, connect=0.1)) as client:
            with pytest.raises(httpx.NetworkError):
                await ask(client, f"https://{HOST}/v1")


async def test_a_netrc_file_does_not_replace_the_key(
    client: httpx.AsyncClient, upstream: Upstream, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login alice password secret\n")
    monkeypatch.setenv("NETRC", os.fspath(tmp_path / "netrc"))
    client.headers["Authorization"] = "Bearer sk-secret"
    assert "Hello" in await ask(client, upstream.url)
    assert upstream.next_request().headers["authorization"] == "Bearer sk-secret"


# Certificates


@pytest.mark.parametrize("name", ["127.0.0.1", "elsewhere.example"], ids=["unknown authority", "another name"])
async def test_a_certificate_must_be_known_and_of_the_host(
    client: httpx.AsyncClient, upstream: Upstream, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    authority = trustme.CA()
    if name == "elsewhere.example":
        authority.cert_pem.write_to_path(tmp_path / "ca.pem")
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    context = server_context(authority, name)
    with tls(upstream.port, context) as front, pytest.raises(httpx.NetworkError, match="CertificateError"):
        await ask(client, f"https://127.0.0.1:{front.port}/v1")
    assert upstream.requests == []


def server_context(authority: trustme.CA, name: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


# Connections


async def test_connections_are_not_limited(client: httpx.AsyncClient, upstream: Upstream) -> None:
    upstream.default = [text("here"), hang()]
    requests = [client.build_request("POST", f"{upstream.url}/chat/completions", json={}) for _ in range(150)]
    responses = await asyncio.gather(*[client.send(request, stream=True) for request in requests])
    assert [b"here" in await anext(response.aiter_raw()) for response in responses] == [True] * 150
    await asyncio.gather(*[response.aclose() for response in responses])


async def test_a_connection_is_used_again_after_a_whole_answer(client: httpx.AsyncClient, upstream: Upstream) -> None:
    for _ in range(3):
        await ask(client, upstream.url)
    assert len({request.closed for request in upstream.requests}) == 1


async def test_closing_a_response_closes_its_connection(client: httpx.AsyncClient, upstream: Upstream) -> None:
    upstream.script(head(), hang())
    async with client.stream("POST", f"{upstream.url}/chat/completions", json={}):
        pass
    await asyncio.to_thread(upstream.next_request().wait_closed)


def test_it_needs_no_event_loop_until_it_is_used() -> None:
    transport = AiohttpTransport()
    asyncio.run(transport.aclose())


# What is left alone


async def test_redirects_are_not_followed(client: httpx.AsyncClient, upstream: Upstream) -> None:
    upstream.script(*document(302, "text/plain", b"", {"location": f"{upstream.url}/models"}))
    response = await client.post(f"{upstream.url}/chat/completions", json={})
    assert response.status_code == 302
    assert len(upstream.requests) == 1


async def test_a_body_stays_as_it_is_encoded(client: httpx.AsyncClient, upstream: Upstream) -> None:
    upstream.script(*document(200, "text/plain", b"not gzip at all", {"content-encoding": "gzip"}))
    async with client.stream("POST", f"{upstream.url}/chat/completions", json={}) as response:
        assert b"".join([chunk async for chunk in response.aiter_raw()]) == b"not gzip at all"
