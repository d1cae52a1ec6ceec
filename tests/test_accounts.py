"""What accounts are held to where there are many processes."""

import re

import httpx

from chat.models import User
from tests.server import Server, Servers


def sign_in(client: httpx.Client, server: Server, password: str) -> httpx.Response:
    page = client.get(f"{server.url}/accounts/login/").text
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)
    assert token
    fields = {"csrfmiddlewaretoken": token[1], "login": "alice", "password": password}
    return client.post(f"{server.url}/accounts/login/", data=fields)


def test_wrong_passwords_are_counted_by_all_processes_together(server: Server, start_server: Servers) -> None:
    other = start_server(server.database)
    server.database.run(lambda: User.objects.create_user("alice", password="a good password"))
    # Behind a proxy they have one name.
    with httpx.Client(trust_env=False, headers={"host": "localhost"}) as client:
        for process in (server, other, server, other, server):
            assert "Too many failed login attempts" not in sign_in(client, process, "a guess").text
        assert "Too many failed login attempts" in sign_in(client, other, "a good password").text
