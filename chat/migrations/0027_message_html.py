import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("chat", "0026_queue_rules"),
    ]

    operations = [
        migrations.CreateModel(
            name="MessageHtml",
            fields=[
                (
                    "message",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.DB_CASCADE,
                        primary_key=True,
                        related_name="+",
                        serialize=False,
                        to="chat.message",
                    ),
                ),
                ("source", models.CharField(max_length=64)),
                ("html", models.TextField()),
            ],
            options={
                "default_permissions": (),
            },
        ),
    ]
