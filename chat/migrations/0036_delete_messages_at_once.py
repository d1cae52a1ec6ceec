import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("chat", "0035_queue_work"),
    ]

    operations = [
        migrations.AlterField(
            model_name="message",
            name="parent",
            field=models.ForeignKey(
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="children",
                to="chat.message",
            ),
        ),
    ]
