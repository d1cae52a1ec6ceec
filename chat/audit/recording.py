"""Adds records to the chain, and a line about each to the log."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from allauth.core import context
from django.db import transaction
from django.utils import timezone

from chat import security_log
from chat.audit import chain
from chat.audit.keys import newest_key
from chat.models import AuditHead, AuditRecord, Conversation, User

if TYPE_CHECKING:
    from django.http import HttpRequest

Action = AuditRecord.Action
OF_TEXT = (Action.LISTED, Action.SEARCHED, Action.READ, Action.WATCHED, Action.EXPORTED)
WARNINGS = (Action.WRONG_PASSWORD, Action.UNKNOWN_LOGIN, Action.DELETED, Action.RIGHTS)
# The rest of a longer detail is left out.
DETAIL_CHARS = 2000


def record(
    action: Action,
    request: HttpRequest | None = None,
    *,
    owner: User | None = None,
    conversation: Conversation | None = None,
    detail: str = "",
    reason: str = "",
    **ids: object,
) -> None:
    """Record what the person of the request does; without one, that of the request which is being answered.

    `owner` is whose account or text it is, by default that of the conversation. `ids` go to the log alone, which gets
    no detail. When this returns after an action on somebody's text, the record is committed, so that the text may be
    sent; it cannot be called in a transaction then. The record of anything else belongs to the transaction of the
    change.
    """
    entry = new(action, request, owner=owner, conversation=conversation, detail=detail, reason=reason)
    append(entry, durable=action in OF_TEXT)
    named = {"conversation": conversation.pk} if conversation else {"user": owner.pk if owner else None}
    level = logging.WARNING if action in WARNINGS else logging.INFO
    security_log.write(str(action.label), level, request, **named, **ids)


def new(
    action: Action,
    request: HttpRequest | None = None,
    *,
    owner: User | None = None,
    conversation: Conversation | None = None,
    detail: str = "",
    reason: str = "",
    by: User | None = None,
    address: str = "",
) -> AuditRecord:
    """A record for `append`. `by` and `address` are those of the request, if they are not given."""
    request = request or context.request
    by = by or security_log.person_of(request)
    owner = owner or (conversation.owner if conversation else None)
    return AuditRecord(
        action=action,
        conversation=conversation.pk if conversation else None,
        detail=detail if len(detail) <= DETAIL_CHARS else f"{detail[: DETAIL_CHARS - 1]}…",
        reason=reason,
        address=address or (request.META.get("REMOTE_ADDR") or "" if request else ""),
        **_named("by", by),
        **_named("owner", owner),
    )


def _named(role: str, person: User | None) -> dict[str, Any]:
    return {f"{role}_id": str(person.pk), f"{role}_name": person.get_username()} if person else {}


def append(*records: AuditRecord, durable: bool = False) -> None:
    """Add the records to the end of the chain, in this order; `durable` says that they must be committed by this.

    The end is locked until the transaction is committed, so whoever is in one does this last.
    """
    if not records:
        return
    with transaction.atomic(durable=durable):
        head = AuditHead.objects.select_for_update().get()
        for entry in records:
            entry.time = timezone.now()
            chain.seal(entry, head, newest_key())
        AuditRecord.objects.bulk_create(records)
        head.save()
