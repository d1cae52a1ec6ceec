"""The audit record. A migration that makes its table anew on SQLite has to make these triggers anew as well."""

from typing import Any

import django.utils.timezone
from django.db import migrations, models

SENTENCE = "The audit record only grows: nothing in it can be changed or deleted."
# INSERT OR REPLACE deletes a row without its trigger for deletions.
SQLITE = [
    f"CREATE TRIGGER chat_auditrecord_{name} BEFORE {event} BEGIN SELECT RAISE(ABORT, '{SENTENCE}'); END"
    for name, event in [
        ("updated", "UPDATE ON chat_auditrecord"),
        ("deleted", "DELETE ON chat_auditrecord"),
        (
            "replaced",
            "INSERT ON chat_auditrecord WHEN EXISTS (SELECT 1 FROM chat_auditrecord WHERE number = new.number)",
        ),
    ]
]
POSTGRESQL = [
    f"""
    CREATE FUNCTION chat_auditrecord_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE EXCEPTION '{SENTENCE}'; END $$
    """,
    """
    CREATE TRIGGER chat_auditrecord_changed BEFORE UPDATE OR DELETE ON chat_auditrecord
    FOR EACH ROW EXECUTE FUNCTION chat_auditrecord_refuse()
    """,
    """
    CREATE TRIGGER chat_auditrecord_truncated BEFORE TRUNCATE ON chat_auditrecord
    FOR EACH STATEMENT EXECUTE FUNCTION chat_auditrecord_refuse()
    """,
]


def begin(apps: Any, schema_editor: Any) -> None:
    for statement in {"sqlite": SQLITE, "postgresql": POSTGRESQL}[schema_editor.connection.vendor]:
        schema_editor.execute(statement)
    apps.get_model("chat", "AuditHead").objects.using(schema_editor.connection.alias).create()


def drop(apps: Any, schema_editor: Any) -> None:
    # The triggers go with the table.
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("DROP FUNCTION chat_auditrecord_refuse CASCADE")


class Migration(migrations.Migration):
    dependencies = [
        ("chat", "0016_labels"),
    ]

    operations = [
        migrations.CreateModel(
            name="AuditHead",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("number", models.BigIntegerField(default=0)),
                ("mac", models.CharField(blank=True, max_length=64)),
            ],
            options={
                "default_permissions": (),
            },
        ),
        migrations.CreateModel(
            name="AuditRecord",
            fields=[
                ("number", models.BigIntegerField(primary_key=True, serialize=False)),
                ("time", models.DateTimeField(default=django.utils.timezone.now)),
                (
                    "action",
                    models.CharField(
                        choices=[
                            ("listed", "Titles listed"),
                            ("searched", "Texts searched"),
                            ("read", "Transcript read"),
                            ("watched", "Reply watched"),
                            ("exported", "Exported"),
                            ("erased", "Conversation deleted"),
                            ("signed in", "Signed in"),
                            ("wrong password", "Wrong password"),
                            ("unknown login", "Unknown login"),
                            ("signed out", "Signed out"),
                            ("created", "Account created"),
                            ("deleted", "Account deleted"),
                            ("password", "Password changed"),
                            ("rights", "Rights changed"),
                        ],
                        max_length=16,
                    ),
                ),
                ("by_id", models.CharField(blank=True, max_length=20)),
                ("by_name", models.CharField(blank=True, max_length=150, verbose_name="by")),
                ("owner_id", models.CharField(blank=True, max_length=20)),
                ("owner_name", models.CharField(blank=True, max_length=150, verbose_name="owner")),
                ("conversation", models.UUIDField(blank=True, null=True)),
                ("detail", models.TextField(blank=True)),
                ("address", models.CharField(blank=True, max_length=45)),
                ("reason", models.TextField(blank=True)),
                ("key", models.CharField(max_length=16)),
                ("before", models.CharField(blank=True, max_length=64)),
                ("mac", models.CharField(max_length=64)),
            ],
            options={
                "default_permissions": ("view",),
                "indexes": [
                    models.Index(fields=["action", "number"], name="audit_action"),
                    models.Index(fields=["by_id", "number"], name="audit_by"),
                    models.Index(fields=["owner_id", "number"], name="audit_owner"),
                    models.Index(fields=["conversation", "number"], name="audit_conversation"),
                    models.Index(fields=["time"], name="audit_time"),
                ],
            },
        ),
        migrations.RunPython(begin, drop),
    ]
