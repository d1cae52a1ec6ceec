import chat.models.ids
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("chat", "0034_audit_actions"),
    ]

    operations = [
        migrations.AddField(
            model_name="marking",
            name="leaf",
            field=models.ForeignKey(
                null=True, on_delete=django.db.models.deletion.DB_CASCADE, related_name="+", to="chat.message"
            ),
        ),
        migrations.CreateModel(
            name="Skip",
            fields=[
                (
                    "id",
                    models.UUIDField(default=chat.models.ids.uuid7, editable=False, primary_key=True, serialize=False),
                ),
                ("until", models.DateTimeField()),
                (
                    "conversation",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.DB_CASCADE, related_name="+", to="chat.conversation"
                    ),
                ),
                (
                    "queue",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.DB_CASCADE,
                        related_name="skips",
                        to="chat.reviewqueue",
                    ),
                ),
                (
                    "reviewer",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.DB_CASCADE, related_name="+", to=settings.AUTH_USER_MODEL
                    ),
                ),
            ],
            options={
                "default_permissions": (),
                "constraints": [
                    models.UniqueConstraint(fields=("queue", "conversation", "reviewer"), name="skip_once")
                ],
            },
        ),
    ]
