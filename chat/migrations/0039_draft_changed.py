import django.utils.timezone
from django.db import migrations, models
from django.db.models.functions import Now


class Migration(migrations.Migration):
    dependencies = [("chat", "0038_judged_conversations")]

    operations = [
        migrations.AddField(
            model_name="draft",
            name="changed",
            field=models.DateTimeField(db_default=Now(), default=django.utils.timezone.now, editable=False),
        ),
    ]
