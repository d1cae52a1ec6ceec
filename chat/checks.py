"""System checks for settings that are valid but serve people badly."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core import checks

# A form sends a character in at most this many bytes: four bytes of UTF-8, each as %XX.
FORM_BYTES = 12
OTHER_FIELDS = 1000


@checks.register("chat")
def collected_static_files(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[checks.CheckMessage]:
    if settings.DEBUG or Path(settings.STATIC_ROOT, "staticfiles.json").exists():
        return []
    return [
        checks.Warning(
            "The static files have not been collected, so browsers request them again with every page.",
            hint="Run `python manage.py collectstatic`.",
            id="chat.W001",
        )
    ]


@checks.register("chat", deploy=True)
def real_model(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[checks.CheckMessage]:
    if not settings.CHAT_DEMO:
        return []
    return [
        checks.Warning(
            "The built-in demo model answers all questions.",
            hint="Set OPENAI_BASE_URL or OPENAI_API_KEY, and OPENAI_MODEL.",
            id="chat.W002",
        )
    ]


@checks.register("chat")
def room_for_questions(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[checks.CheckMessage]:
    needed = settings.CHAT_QUESTION_CHARS * FORM_BYTES + OTHER_FIELDS
    if needed <= settings.CHAT_BODY_BYTES:
        return []
    return [
        checks.Warning(
            "A question of CHAT_QUESTION_CHARS characters can exceed CHAT_BODY_BYTES, and would be refused.",
            hint=f"Set CHAT_BODY_BYTES={needed}, and the same limit in the proxy.",
            id="chat.W003",
        )
    ]
