import atexit

from django.apps import AppConfig


class ChatConfig(AppConfig):
    name = "chat"

    def ready(self) -> None:
        from chat import checks, security_log  # noqa: F401  (they register themselves)
        from chat.database import close_pool

        atexit.register(close_pool)
