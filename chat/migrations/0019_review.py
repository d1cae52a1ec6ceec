"""Who could read conversations until now may still do so, by a permission of its own."""

from typing import Any

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models
from django.db.models import Value
from django.db.models.functions import Concat


def grant(apps: Any, schema_editor: Any) -> None:
    """Give `read_conversation` to all people and groups that have `view_conversation`."""
    database = schema_editor.connection.alias
    content_type = apps.get_model("contenttypes", "ContentType").objects.using(database)
    conversation = content_type.filter(app_label="chat", model="conversation").first()
    if conversation is None:
        # A new database.
        return
    permissions = apps.get_model("auth", "Permission").objects.using(database).filter(content_type=conversation)
    reading, _ = permissions.get_or_create(
        codename="read_conversation", content_type=conversation, defaults={"name": "Can read conversation"}
    )
    for view in permissions.filter(codename="view_conversation"):
        reading.group_set.add(*view.group_set.all())
        reading.user_set.add(*view.user_set.all())


def forget_titles(apps: Any, schema_editor: Any) -> None:
    """Take the titles of conversations out of Django's own log, where they outlive the conversations."""
    entries = apps.get_model("admin", "LogEntry").objects.using(schema_editor.connection.alias)
    of_conversations = entries.filter(content_type__app_label="chat", content_type__model="conversation")
    of_conversations.update(object_repr=Concat(Value("conversation "), "object_id"))


class Migration(migrations.Migration):
    dependencies = [
        ("auth", "0012_alter_user_first_name_max_length"),
        ("chat", "0018_summaries"),
        ("admin", "0003_logentry_add_action_flag_choices"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="conversation",
            options={"permissions": [("read_conversation", "Can read conversation")]},
        ),
        migrations.CreateModel(
            name="ReviewLimit",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "groups",
                    models.ManyToManyField(
                        help_text="The reviewer sees the conversations of people in these groups and of nobody else.",
                        related_name="+",
                        to="auth.group",
                    ),
                ),
                (
                    "reviewer",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="review_limit",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
        ),
        migrations.RunPython(grant, migrations.RunPython.noop),
        migrations.RunPython(forget_titles, migrations.RunPython.noop),
    ]
