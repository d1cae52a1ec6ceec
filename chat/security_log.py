"""Writes lines about who signs in, what is refused, and what happens to accounts, rights and texts.

Ids and IP addresses only: no names, no passwords, nothing that people wrote.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, cast

from allauth.core import context
from django.http import HttpRequest

if TYPE_CHECKING:
    from chat.models import User

logger = logging.getLogger(__name__)


def write(event: str, level: int = logging.INFO, request: HttpRequest | None = None, **ids: object) -> None:
    """Write a line `Event: name=id …`. The ids include the signed-in person and the IP address of the request."""
    request = request or context.request
    if request:
        by = person_of(request)
        ids |= {"by": by.pk if by else None, "address": request.META.get("REMOTE_ADDR")}
    ids = {name: value for name, value in ids.items() if value is not None}
    logger.log(level, "%s: %s", event, " ".join(f"{name}={value}" for name, value in ids.items()), extra=ids)


def person_of(request: HttpRequest | None) -> User | None:
    """Who has sent the request, if they are signed in."""
    person = getattr(request, "user", None)
    return cast("User", person) if person and person.is_authenticated else None
