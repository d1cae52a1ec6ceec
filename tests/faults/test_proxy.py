"""The proxy's faults, over real sockets."""

import socket
import time
from collections.abc import Iterator

import httpx
import pytest

from tests.faults.proxy import CHUNK, HOST, NO_LINGER, Proxy
from tests.upstream import PATIENCE


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server((HOST, 0)) as listener:
        listener.settimeout(PATIENCE)
        yield listener


@pytest.fixture
def proxy(listener: socket.socket) -> Iterator[Proxy]:
    with Proxy(listener.getsockname()[1]) as proxy:
        yield proxy


@pytest.fixture
def client(proxy: Proxy) -> Iterator[socket.socket]:
    with connect(proxy) as client:
        yield client


@pytest.fixture
def server(listener: socket.socket, client: socket.socket) -> Iterator[socket.socket]:
    """The other end of the client's connection."""
    with accept(listener) as server:
        yield server


def connect(proxy: Proxy) -> socket.socket:
    return socket.create_connection((HOST, proxy.port), PATIENCE)


def accept(listener: socket.socket) -> socket.socket:
    server, _ = listener.accept()
    server.settimeout(PATIENCE)
    return server


def receive(side: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size and (more := side.recv(size - len(data))):
        data += more
    return data


def is_silent(side: socket.socket) -> bool:
    """Whether nothing arrives for a moment."""
    side.settimeout(0.1)
    try:
        side.recv(1)
    except TimeoutError:
        return True
    finally:
        side.settimeout(PATIENCE)
    return False


# Without a fault


def test_bytes_and_ends_pass_both_ways(client: socket.socket, server: socket.socket) -> None:
    client.sendall(b"question")
    assert receive(server, 8) == b"question"
    client.shutdown(socket.SHUT_WR)
    assert server.recv(1) == b""
    server.sendall(b"answer")
    server.close()
    assert receive(client, 7) == b"answer"


def test_long_data_passes_unchanged(client: socket.socket, server: socket.socket) -> None:
    sent = bytes(range(256)) * 1000
    client.sendall(sent)
    assert receive(server, len(sent)) == sent


def test_a_reset_passes_after_what_was_sent_before(client: socket.socket, server: socket.socket, proxy: Proxy) -> None:
    client.sendall(b"question")
    receive(server, 8)
    server.sendall(b"half an ans")
    server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
    server.close()
    assert receive(client, 11) == b"half an ans"
    with pytest.raises(ConnectionResetError):
        client.recv(1)


def test_clients_without_a_target_are_reset(listener: socket.socket, proxy: Proxy) -> None:
    listener.close()
    with pytest.raises(ConnectionResetError), connect(proxy) as client:
        client.recv(1)


# Impaired


def test_latency_holds_bytes_back_each_way(proxy: Proxy, client: socket.socket, server: socket.socket) -> None:
    proxy.impair(latency=0.1)
    began = time.monotonic()
    client.sendall(b"?")
    server.sendall(server.recv(1))
    assert client.recv(1) == b"?"
    assert time.monotonic() - began >= 0.2


def test_latency_does_not_limit_throughput(proxy: Proxy, client: socket.socket, server: socket.socket) -> None:
    proxy.impair(latency=1)
    began = time.monotonic()
    client.sendall(b"x" * 6 * CHUNK)
    receive(server, 6 * CHUNK)
    assert 1 <= time.monotonic() - began < 5


def test_a_slow_connection_passes_its_rate(proxy: Proxy, client: socket.socket, server: socket.socket) -> None:
    proxy.impair(rate=1000)
    began = time.monotonic()
    server.sendall(b"x" * 300)
    assert receive(client, 300) == b"x" * 300
    assert time.monotonic() - began >= 0.2


@pytest.mark.parametrize("limit", [0, 5])
def test_the_connection_is_cut_after_the_limit(
    proxy: Proxy, client: socket.socket, server: socket.socket, limit: int
) -> None:
    proxy.impair(limit=limit)
    client.sendall(b"what the client sends does not count")
    server.sendall(b"123")
    server.sendall(b"456")
    assert receive(client, 6) == b"123456"[:limit]
    receive(server, 36)
    assert server.recv(1) == b""


def test_up_to_the_limit_nothing_happens(proxy: Proxy, client: socket.socket, server: socket.socket) -> None:
    proxy.impair(limit=6)
    server.sendall(b"123456")
    assert receive(client, 6) == b"123456"
    assert is_silent(client)


def test_the_connection_is_reset_after_the_limit(proxy: Proxy, client: socket.socket, server: socket.socket) -> None:
    proxy.impair(limit=0, reset=True)
    server.sendall(b"1")
    for side in (client, server):
        with pytest.raises(ConnectionResetError):
            side.recv(1)


def test_a_mended_black_hole_lets_bytes_and_ends_go(proxy: Proxy, client: socket.socket, server: socket.socket) -> None:
    proxy.impair(black_hole=True)
    client.sendall(b"question")
    server.sendall(b"answer")
    server.shutdown(socket.SHUT_WR)
    assert is_silent(client)
    assert is_silent(server)
    proxy.mend()
    assert receive(client, 7) == b"answer"
    assert receive(server, 8) == b"question"


def test_a_black_hole_takes_connections(proxy: Proxy, listener: socket.socket) -> None:
    proxy.impair(black_hole=True)
    with connect(proxy) as client:
        client.sendall(b"question")
        assert is_silent(client)
        proxy.mend()
        with accept(listener) as server:
            assert receive(server, 8) == b"question"


def test_open_connections_can_stay_as_they_are(
    proxy: Proxy, listener: socket.socket, client: socket.socket, server: socket.socket
) -> None:
    proxy.impair(limit=0, only_new=True)
    server.sendall(b"old")
    assert receive(client, 3) == b"old"
    with connect(proxy) as late, accept(listener) as late_server:
        late_server.sendall(b"new")
        assert late.recv(1) == b""


# Broken


def test_a_cut_is_an_orderly_end_both_ways(proxy: Proxy, client: socket.socket, server: socket.socket) -> None:
    server.sendall(b"half an ans")
    assert receive(client, 11) == b"half an ans"
    proxy.cut()
    assert client.recv(1) == b""
    assert server.recv(1) == b""


def test_sending_into_a_cut_connection_does_not_reset_it(
    proxy: Proxy, client: socket.socket, server: socket.socket
) -> None:
    proxy.cut()
    client.sendall(b"late")
    assert client.recv(1) == b""


def test_a_reset_ends_both_ways(proxy: Proxy, client: socket.socket, server: socket.socket) -> None:
    proxy.reset()
    for side in (client, server):
        with pytest.raises(ConnectionResetError):
            side.recv(1)


def test_connections_after_a_reset_pass(
    proxy: Proxy, listener: socket.socket, client: socket.socket, server: socket.socket
) -> None:
    proxy.reset()
    with connect(proxy) as client, accept(listener) as server:
        client.sendall(b"again")
        assert receive(server, 5) == b"again"


def test_refused_clients_pass_when_mended(
    proxy: Proxy, listener: socket.socket, client: socket.socket, server: socket.socket
) -> None:
    proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        connect(proxy)
    client.sendall(b"open")
    assert receive(server, 4) == b"open"
    proxy.mend()
    with connect(proxy) as late, accept(listener) as late_server:
        late.sendall(b"new")
        assert receive(late_server, 3) == b"new"


def test_a_proxy_that_is_broken_down_cuts_and_answers_502(
    proxy: Proxy, client: socket.socket, server: socket.socket
) -> None:
    proxy.break_down()
    assert client.recv(1) == b""
    response = httpx.post(proxy.url, content=b"x" * 100_000, trust_env=False)
    assert (response.status_code, response.text) == (502, "Bad Gateway")
