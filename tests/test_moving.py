"""The move from SQLite to PostgreSQL, with the commands of the README."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings
from pytest_django import DjangoDbBlocker

from chat.models import Conversation
from tests.postgresql import postgresql
from tests.server import Databases, Server
from tests.visitor import Visitor, written

README = (settings.BASE_DIR / "README.md").read_text()


def manage(url: str, *arguments: str) -> None:
    environment = {**os.environ, "DATABASE_URL": url}
    subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=settings.BASE_DIR,
        env=environment,
        check=True,
        capture_output=True,
    )


@pytest.mark.postgresql
async def test_conversations_move_from_sqlite_to_postgresql(
    server: Server, tmp_path: Path, django_db_blocker: DjangoDbBlocker
) -> None:
    async with Visitor(server, "alice") as alice:
        reply = await alice.ask("/long 30")
        text = written(await alice.whole(reply))
    command = re.search(r"manage\.py (dumpdata .+?)parley\.json", README, re.DOTALL)
    assert command
    rows = str(tmp_path / "parley.json")
    with postgresql() as url, Databases(tmp_path, django_db_blocker, url) as databases:
        new = databases.make()
        manage(server.database.url, *command[1].replace("\\\n", "").split(), rows)
        manage(new.url, "loaddata", rows)

        leaf = new.run(lambda: Conversation.objects.select_related("leaf__reply").get(owner__username="alice").leaf)
    assert leaf
    assert (str(leaf.pk), leaf.text, leaf.reply.status) == (reply["id"], text, "complete")
