"""Records who signs in, what is refused, and what happens to accounts and rights.

Ids and IP addresses only: no names, no passwords, nothing that people wrote.
"""

import logging
from typing import Any

from allauth.core import context
from django.contrib.auth.models import Group
from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.db.models import Model
from django.db.models.signals import m2m_changed, post_delete, post_save, pre_save
from django.dispatch import receiver
from django.http import HttpRequest

from chat.models import User

logger = logging.getLogger(__name__)

FLAGS = ("is_active", "is_staff", "is_superuser")


def record(event: str, level: int = logging.INFO, request: HttpRequest | None = None, **ids: object) -> None:
    """Write a line `Event: name=id …`. The ids include the signed-in person and the IP address of the request."""
    request = request or context.request
    if request:
        person = getattr(request, "user", None)
        by = person.pk if person and person.is_authenticated else None
        ids |= {"by": by, "address": request.META.get("REMOTE_ADDR")}
    ids = {name: value for name, value in ids.items() if value is not None}
    logger.log(level, "%s: %s", event, " ".join(f"{name}={value}" for name, value in ids.items()), extra=ids)


@receiver(user_logged_in)
def _signed_in(request: HttpRequest, user: User, **_: Any) -> None:
    record("Signed in", request=request, user=user.pk)


@receiver(user_logged_out)
def _signed_out(request: HttpRequest, user: User | None, **_: Any) -> None:
    if user:
        record("Signed out", request=request, user=user.pk)


@receiver(pre_save, sender=User)
def _changes(instance: User, raw: bool, update_fields: frozenset[str] | None, **_: Any) -> None:
    # Signing in saves `last_login` alone, or `password` alone for a stronger hash of the same password.
    if raw or set(update_fields or ()) in ({"last_login"}, {"password"}):
        return
    before = User.objects.filter(pk=instance.pk).values(*FLAGS, "password").first()
    if not before:
        return
    if before["password"] != instance.password:
        record("Password changed", user=instance.pk)
    changed = [flag for flag in FLAGS if getattr(instance, flag) != before[flag]]
    if changed:
        signed = ",".join(("+" if getattr(instance, flag) else "-") + flag for flag in changed)
        record("Rights changed", logging.WARNING, user=instance.pk, change=signed)


@receiver(post_save, sender=User)
def _created(instance: User, created: bool, **_: Any) -> None:
    if created:
        rights = ",".join(flag for flag in FLAGS if getattr(instance, flag))
        record("Account created", user=instance.pk, rights=rights)


@receiver(post_delete, sender=User)
def _deleted(instance: User, **_: Any) -> None:
    record("Account deleted", logging.WARNING, user=instance.pk)


@receiver(m2m_changed, sender=User.groups.through)
@receiver(m2m_changed, sender=User.user_permissions.through)
@receiver(m2m_changed, sender=Group.permissions.through)
def _rights(instance: Model, action: str, model: type[Model], pk_set: set[int] | None, **_: Any) -> None:
    """The groups of a user, and the permissions of a user or a group."""
    sign = {"post_add": "+", "post_remove": "-", "post_clear": "-"}.get(action)
    if sign and (pk_set or action == "post_clear"):
        others = ",".join(map(str, sorted(pk_set or ()))) or "all"
        one = {str(instance._meta.model_name): instance.pk}
        record("Rights changed", logging.WARNING, **one, change=f"{sign}{model._meta.model_name}:{others}")
