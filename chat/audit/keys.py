"""The keys of the chain: those of the settings and, as long as there are none, one that follows from SECRET_KEY."""

import hmac
from dataclasses import dataclass
from typing import Self

from django.conf import settings
from django.utils.crypto import salted_hmac


@dataclass(frozen=True, slots=True)
class Key:
    """A key with the id by which records name it."""

    id: str
    secret: bytes

    @classmethod
    def derived(cls, secret_key: str) -> Self:
        secret = salted_hmac("chat.audit", "", secret=secret_key, algorithm="sha256").digest()
        return cls(hmac.digest(secret, b"id", "sha256").hex()[:8], secret)

    def mac(self, text: str) -> str:
        return hmac.digest(self.secret, text.encode(), "sha256").hex()


def keys() -> dict[str, Key]:
    """All keys by their ids. The first one makes new MACs, the others check old ones."""
    named = [Key(name, secret.encode()) for name, secret in settings.AUDIT_KEYS]
    derived = map(Key.derived, [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS])
    return {key.id: key for key in [*named, *derived]}


def newest_key() -> Key:
    return next(iter(keys().values()))
