"""Reads settings from the environment; a value that cannot be used names its setting.

django-environ parses; what it lets through (a boolean `maybe`, a database URL of an unknown kind) is refused here, so
that a mistake stops the start instead of surfacing in front of a user.
"""

import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import environ
from django.core.exceptions import ImproperlyConfigured

_TRUE = ("1", "true", "yes", "on")
_FALSE = ("0", "false", "no", "off", "")


class Environment:
    """Typed access to the process's environment, completed from a `.env` file where there is one."""

    def __init__(self, env_file: Path) -> None:
        self._env = environ.Env()
        self._env.read_env(env_file)

    def text(self, name: str, default: str | None = None) -> str:
        """The value without surrounding space; required, and not empty, if there is no default."""
        value = str(self._env.str(name, default=default or "")).strip()
        if not value and default is None:
            raise ImproperlyConfigured(f"{name} is not set. Set it in the environment or in the .env file.")
        return value

    def flag(self, name: str, default: bool) -> bool:
        value = self.text(name, "1" if default else "0").lower()
        if value not in _TRUE + _FALSE:
            raise ImproperlyConfigured(f"{name} must be 1 or 0.")
        return value in _TRUE

    def number(self, name: str, default: int, least: int = 1) -> int:
        value = self.text(name, str(default))
        if not value.isdecimal() or int(value) < least:
            raise ImproperlyConfigured(f"{name} must be a whole number of at least {least}.")
        return int(value)

    def words(self, name: str, default: str = "") -> list[str]:
        """A list, separated by commas."""
        return [word.strip() for word in self.text(name, default).split(",") if word.strip()]

    def keys(self, name: str) -> list[tuple[str, str]]:
        """Keys as `id:secret`, separated by commas, in their order."""
        keys = [(key, secret) for key, _, secret in (word.partition(":") for word in self.words(name))]
        named = {key for key, secret in keys if re.fullmatch(r"[\w.-]{1,16}", key, re.ASCII) and len(secret) >= 32}
        if len(named) < len(keys):
            raise ImproperlyConfigured(
                f"{name} must list keys as id:secret, each with an id of its own of at most 16 letters, digits, dots, "
                "hyphens and underscores, and a secret of at least 32 characters."
            )
        return keys

    def choices(self, name: str, models: list[str], allowed: tuple[str, ...]) -> dict[str, str]:
        """A value per model: a value alone is for all, `model=value` for one. The first allowed is the default."""
        choices = dict.fromkeys(models, allowed[0])
        for entry in self.words(name):
            model, _, value = entry.rpartition("=")
            if value not in allowed or (model and model not in models):
                raise ImproperlyConfigured(f"{name} must list {', '.join(allowed)}, each alone or after a model and =.")
            choices.update({model: value} if model else dict.fromkeys(models, value))
        return choices

    def http_url(self, name: str, default: str = "") -> str:
        value = self.text(name, default).rstrip("/")
        parts = urlsplit(value)
        if value and not (parts.scheme in ("http", "https") and parts.hostname):
            raise ImproperlyConfigured(f"{name} must be an address that begins with http:// or https://.")
        return value

    def origins(self, name: str) -> list[str]:
        for origin in (values := self.words(name)):
            if not origin.startswith(("http://", "https://")):
                raise ImproperlyConfigured(f"{name} must list addresses that begin with http:// or https://.")
        return values

    def time_zone(self, name: str, default: str) -> str:
        value = self.text(name, default)
        try:
            ZoneInfo(value)
        except (ValueError, ZoneInfoNotFoundError, IsADirectoryError):
            raise ImproperlyConfigured(f"{name} must be the name of a time zone, such as Europe/Paris.") from None
        return value

    def database(self, name: str, default: str) -> dict[str, Any]:
        """A Django database dictionary for SQLite or PostgreSQL."""
        url = self.text(name, default)
        kind = url.partition(":")[0]
        if kind not in ("sqlite", "postgres", "postgresql"):
            raise ImproperlyConfigured(f"{name} must begin with sqlite:/// or postgresql://.")
        try:
            return dict(self._env.db_url_config(url))
        except ValueError:
            raise ImproperlyConfigured(f"{name} is not an address of a database.") from None

    def redis_url(self, name: str) -> str:
        """An address of Redis or Valkey, as redis-py reads it."""
        value = self.text(name, "")
        try:
            parts = urlsplit(value)
            usable = parts.scheme in ("redis", "rediss") and parts.hostname and parts.port != 0
        except ValueError:
            usable = False
        if value and not usable:
            raise ImproperlyConfigured(f"{name} must be an address that begins with redis:// or rediss://.")
        return value

    def mailer(self, name: str, default: str) -> dict[str, Any]:
        """An entry of Django's MAILERS from a URL such as smtp+tls://user:password@host:587."""
        try:
            config = self._env.email_url_config(self.text(name, "") or default)
        except (ImproperlyConfigured, ValueError):
            raise ImproperlyConfigured(f"{name} is not an address of a mail server.") from None
        if config["EMAIL_BACKEND"].endswith(".console.EmailBackend"):
            return {"BACKEND": "config.server.mail.ConsoleBackend"}
        options = {
            "host": config["EMAIL_HOST"],
            "port": config["EMAIL_PORT"],
            "username": config["EMAIL_HOST_USER"],
            "password": config["EMAIL_HOST_PASSWORD"],
            "use_tls": config.get("EMAIL_USE_TLS"),
            "use_ssl": config.get("EMAIL_USE_SSL"),
        }
        return {"BACKEND": config["EMAIL_BACKEND"], "OPTIONS": {key: value for key, value in options.items() if value}}
