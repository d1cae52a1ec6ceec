"""The texts that can be searched, and the index of their words: chat/search/ says how it is used."""

from typing import Any

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

# FTS5 keeps no copy of the words, so the triggers have to say which ones go. The tokenizer splits at spaces and at ASCII
# characters that are in no word. Beginnings of two and three letters have lists of their own.
SQLITE = [
    """
    CREATE VIRTUAL TABLE chat_words USING fts5(
        words, owner_id, content=chat_searchable, content_rowid=id, columnsize=0, tokenize=ascii, prefix='2 3'
    )
    """,
    """
    CREATE TRIGGER chat_searchable_inserted AFTER INSERT ON chat_searchable BEGIN
        INSERT INTO chat_words (rowid, words, owner_id) VALUES (new.id, new.words, new.owner_id);
    END
    """,
    """
    CREATE TRIGGER chat_searchable_deleted AFTER DELETE ON chat_searchable BEGIN
        INSERT INTO chat_words (chat_words, rowid, words, owner_id)
        VALUES ('delete', old.id, old.words, old.owner_id);
    END
    """,
    """
    CREATE TRIGGER chat_searchable_updated AFTER UPDATE ON chat_searchable BEGIN
        INSERT INTO chat_words (chat_words, rowid, words, owner_id)
        VALUES ('delete', old.id, old.words, old.owner_id);
        INSERT INTO chat_words (rowid, words, owner_id) VALUES (new.id, new.words, new.owner_id);
    END
    """,
]
# The owner is one more word, which no text can have. The second index is for words that most texts of a person have.
POSTGRESQL = [
    """
    ALTER TABLE chat_searchable ADD COLUMN vector tsvector GENERATED ALWAYS AS (
        array_to_tsvector(array_append(string_to_array(words, ' '), '@' || owner_id::text))
    ) STORED
    """,
    "CREATE INDEX chat_searchable_vector ON chat_searchable USING gin (vector)",
    "CREATE INDEX chat_searchable_newest ON chat_searchable (owner_id, id DESC)",
]


def create(apps: Any, schema_editor: Any) -> None:
    for statement in {"sqlite": SQLITE, "postgresql": POSTGRESQL}[schema_editor.connection.vendor]:
        schema_editor.execute(statement)


def drop(apps: Any, schema_editor: Any) -> None:
    # All else goes with the table.
    if schema_editor.connection.vendor == "sqlite":
        schema_editor.execute("DROP TABLE chat_words")


class Migration(migrations.Migration):
    dependencies = [
        ("chat", "0006_comparison"),
    ]

    operations = [
        migrations.CreateModel(
            name="Searchable",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("words", models.TextField(blank=True)),
                (
                    "conversation",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.DB_CASCADE,
                        related_name="searchable",
                        to="chat.conversation",
                    ),
                ),
                (
                    "message",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.DB_CASCADE,
                        related_name="searchable",
                        to="chat.message",
                    ),
                ),
                (
                    "owner",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.DB_CASCADE,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "queued",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.DB_CASCADE,
                        related_name="searchable",
                        to="chat.queuedquestion",
                    ),
                ),
            ],
        ),
        migrations.RunPython(create, drop),
    ]
