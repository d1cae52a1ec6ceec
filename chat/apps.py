import atexit

from django.apps import AppConfig


class ChatConfig(AppConfig):
    name = "chat"

    def ready(self) -> None:
        from chat import checks  # noqa: F401  (registers them)
        from chat.database import close_pool

        atexit.register(close_pool)
