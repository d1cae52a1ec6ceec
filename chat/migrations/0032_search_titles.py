from typing import Any

from django.db import migrations, models

# Beside the most frequent words, PostgreSQL guesses how many texts have a word. By default it knows a thousand, takes each
# other word for a frequent one, and reads a million texts in vain instead of asking the index.
POSTGRESQL = ["ALTER TABLE chat_searchable ALTER COLUMN vector SET STATISTICS 1000", "ANALYZE chat_searchable"]


def know_more_words(apps: Any, schema_editor: Any) -> None:
    if schema_editor.connection.vendor == "postgresql":
        for statement in POSTGRESQL:
            schema_editor.execute(statement)


class Migration(migrations.Migration):
    dependencies = [("chat", "0031_audit_actions_of_people")]

    operations = [
        migrations.AddIndex(
            model_name="searchable",
            index=models.Index(
                fields=["owner", "-id"],
                condition=models.Q(("message", None), ("note", None), ("queued", None)),
                name="searchable_titles",
            ),
        ),
        migrations.RunPython(know_more_words, migrations.RunPython.noop),
    ]
