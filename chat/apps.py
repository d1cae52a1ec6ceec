import atexit

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class ChatConfig(AppConfig):
    name = "chat"

    def ready(self) -> None:
        from chat import checks  # noqa: F401  (they register themselves)
        from chat.audit import accounts, reviews  # noqa: F401  (so do these)
        from chat.database import close_pool
        from chat.search.filling import after_migrations

        atexit.register(close_pool)
        post_migrate.connect(after_migrations, sender=self)
