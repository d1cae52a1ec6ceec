"""What load balancers and Prometheus ask, over a real socket: by address and over plain HTTP."""

import httpx
import pytest

from tests.redis import RedisServer
from tests.server import Server, Servers


@pytest.fixture
def server(start_server: Servers) -> Server:
    """A server as in production, of which people know only the name."""
    return start_server(DEBUG="0", ALLOWED_HOSTS="chat.example.org", SECURE_SSL_REDIRECT="1", CHAT_METRICS="1")


def get(server: Server, path: str) -> httpx.Response:
    return httpx.get(f"{server.url}{path}", trust_env=False)


@pytest.mark.parametrize("path", ["/healthz/", "/readyz/", "/metrics/"])
def test_a_program_that_asks_by_address_is_answered(server: Server, path: str) -> None:
    assert get(server, path).status_code == 200


def test_everybody_else_has_to_know_the_name(server: Server) -> None:
    assert get(server, "/accounts/login/").status_code == 400


def test_a_process_whose_database_does_not_answer_is_alive_but_not_ready(start_server: Servers) -> None:
    lost = start_server(DATABASE_URL="sqlite:////no/such/folder/parley.sqlite3")
    assert get(lost, "/healthz/").status_code == 200
    answer = get(lost, "/readyz/")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "database")


@pytest.mark.redis
def test_a_process_whose_log_does_not_answer_is_not_ready_until_it_does(start_server: Servers) -> None:
    with RedisServer() as redis:
        server = start_server(REDIS_URL=redis.url)
        assert get(server, "/readyz/").status_code == 200
        redis.kill()
        answer = get(server, "/readyz/")
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "log")
        redis.start()
        assert get(server, "/readyz/").status_code == 200
