from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("chat", "0037_taken_out")]

    operations = [
        migrations.AddIndex(
            model_name="conversation",
            index=models.Index(
                condition=models.Q(("good__gt", 0)), fields=["-updated", "-id"], name="conversation_good"
            ),
        ),
        migrations.AddIndex(
            model_name="conversation",
            index=models.Index(condition=models.Q(("bad__gt", 0)), fields=["-updated", "-id"], name="conversation_bad"),
        ),
    ]
