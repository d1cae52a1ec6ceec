import django.db.models.deletion
from django.db import migrations, models

PARENT = "chat_message_parent_id_d93c704f"


class Migration(migrations.Migration):
    dependencies = [("chat", "0032_search_titles")]

    operations = [
        # SQLite would copy all messages to alter the field.
        migrations.SeparateDatabaseAndState(
            database_operations=[
                migrations.RunSQL(f"DROP INDEX {PARENT}", f"CREATE INDEX {PARENT} ON chat_message (parent_id)")
            ],
            state_operations=[
                migrations.AlterField(
                    model_name="message",
                    name="parent",
                    field=models.ForeignKey(
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.DB_CASCADE,
                        related_name="children",
                        to="chat.message",
                    ),
                )
            ],
        ),
        migrations.AddIndex(
            model_name="message",
            index=models.Index(
                condition=models.Q(("parent__isnull", False)), fields=["parent"], name="message_children"
            ),
        ),
    ]
