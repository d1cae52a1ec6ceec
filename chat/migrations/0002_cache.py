"""The table of the cache that all processes share."""

from typing import Any

from django.core.management import call_command
from django.db import migrations

TABLE = "chat_cache"


def create(apps: Any, schema_editor: Any) -> None:
    call_command("createcachetable", TABLE, database=schema_editor.connection.alias, verbosity=0)


class Migration(migrations.Migration):
    dependencies = [("chat", "0001_initial")]
    operations = [migrations.RunPython(create, lambda apps, editor: editor.execute(f"DROP TABLE {TABLE}"))]
