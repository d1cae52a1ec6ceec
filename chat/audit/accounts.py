"""Records who signs in and out, and what happens to accounts and rights."""

from collections.abc import Iterable
from typing import Any

from allauth.account.models import EmailAddress
from django.contrib.auth.models import Group
from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.db.models import Model, QuerySet
from django.db.models.signals import m2m_changed, post_delete, post_save, pre_delete, pre_save
from django.dispatch import receiver
from django.http import HttpRequest

from chat.audit.recording import record
from chat.models import AuditRecord, ReviewLimit, User

Action = AuditRecord.Action
FLAGS = ("is_active", "is_staff", "is_superuser")


@receiver(user_logged_in)
def _signed_in(request: HttpRequest, user: User, **_: Any) -> None:
    record(Action.SIGNED_IN, request, owner=user)


@receiver(user_logged_out)
def _signed_out(request: HttpRequest, user: User | None, **_: Any) -> None:
    if user:
        record(Action.SIGNED_OUT, request, owner=user)


@receiver(pre_save, sender=User)
def _look(instance: User, raw: bool, update_fields: frozenset[str] | None, **_: Any) -> None:
    """Keep what the row was. Its record comes after the row, as the end of the chain is locked last."""
    # Signing in saves `last_login` alone, or `password` alone for a stronger hash of the same password.
    is_about_rights = not raw and set(update_fields or ()) not in ({"last_login"}, {"password"})
    kept = (*FLAGS, "password", "email")
    row = User.objects.filter(pk=instance.pk).values(*kept).first() if is_about_rights else None
    instance._before = row  # type: ignore[attr-defined]


@receiver(post_save, sender=User)
def _saved(instance: User, created: bool, raw: bool, **_: Any) -> None:
    if created and not raw:
        rights = ",".join(flag for flag in FLAGS if getattr(instance, flag))
        record(Action.CREATED, owner=instance, detail=rights, rights=rights)
    before = instance.__dict__.pop("_before", None)
    if not before:
        return
    if before["password"] != instance.password:
        record(Action.PASSWORD, owner=instance)
    if before["email"] != instance.email:
        record(Action.EMAIL, owner=instance, detail=f"{before['email']} → {instance.email}")
    if changed := [flag for flag in FLAGS if getattr(instance, flag) != before[flag]]:
        signed = ",".join(("+" if getattr(instance, flag) else "-") + flag for flag in changed)
        record(Action.RIGHTS, owner=instance, detail=signed, change=signed)


@receiver(pre_save, sender=EmailAddress)
def _look_at_address(instance: EmailAddress, raw: bool, **_: Any) -> None:
    row = None if raw else EmailAddress.objects.filter(pk=instance.pk).first()
    instance._before = row and row.email


@receiver(post_save, sender=EmailAddress)
def _address_saved(instance: EmailAddress, created: bool, raw: bool, **_: Any) -> None:
    """Another address of an account, which can reset its password too. That of the account itself is known."""
    before = instance.__dict__.pop("_before", None)
    if created and not raw and instance.email.lower() != instance.user.email.lower():
        record(Action.EMAIL, owner=instance.user, detail=f"+{instance.email}")
    elif before and before != instance.email:
        record(Action.EMAIL, owner=instance.user, detail=f"{before} → {instance.email}")


@receiver(post_delete, sender=EmailAddress)
def _address_deleted(instance: EmailAddress, origin: Model | QuerySet[Any], **_: Any) -> None:
    # With the account, all of its addresses go.
    if getattr(origin, "model", type(origin)) is EmailAddress:
        record(Action.EMAIL, owner=instance.user, detail=f"-{instance.email}")


@receiver(pre_delete, sender=User)
def _count_conversations(instance: User, **_: Any) -> None:
    """The database deletes them with the account, so none has a record of its own."""
    instance._conversations = instance.conversations.count()  # type: ignore[attr-defined]


@receiver(post_delete, sender=User)
def _deleted(instance: User, **_: Any) -> None:
    record(Action.DELETED, owner=instance, detail=f"conversations={instance.__dict__.pop('_conversations')}")


@receiver(m2m_changed, sender=User.groups.through)
@receiver(m2m_changed, sender=User.user_permissions.through)
@receiver(m2m_changed, sender=Group.permissions.through)
@receiver(m2m_changed, sender=ReviewLimit.groups.through)
def _rights(
    instance: Model, action: str, model: type[Model], pk_set: set[int] | None, raw: bool = False, **_: Any
) -> None:
    """The groups of a user or of a limit, and the permissions of a user or a group."""
    sign = {"post_add": "+", "post_remove": "-", "post_clear": "-"}.get(action)
    if not raw and sign and (pk_set or action == "post_clear"):
        _changed(instance, sign, model, sorted(pk_set or ()))


@receiver(post_delete, sender=Group)
def _group_deleted(instance: Group, **_: Any) -> None:
    """Its members lose what it gave them, which changes no row of theirs."""
    record(Action.RIGHTS, detail=f"-group {instance}", group=instance.pk, change="-group")


@receiver(post_save, sender=ReviewLimit)
def _limited(instance: ReviewLimit, created: bool, raw: bool, **_: Any) -> None:
    if created and not raw:
        record(Action.RIGHTS, owner=instance.reviewer, detail="+review limit", change="+reviewlimit")


@receiver(post_delete, sender=ReviewLimit)
def _lifted(instance: ReviewLimit, **_: Any) -> None:
    record(Action.RIGHTS, owner=instance.reviewer, detail="-review limit", change="-reviewlimit")


def _changed(of: Model, sign: str, model: type[Model], pks: Iterable[int]) -> None:
    """Record that somebody, or a group, has been given (+) or has lost (-) these rows of `model`; all, without any."""
    kind, pks = model._meta.model_name, list(pks)
    names = "; ".join(map(str, model._default_manager.filter(pk__in=pks))) if pks else "all"
    user = of if isinstance(of, User) else of.reviewer if isinstance(of, ReviewLimit) else None
    whose = "" if of is user else f"{of._meta.verbose_name} {of}: "
    detail = f"{whose}{sign}{model._meta.verbose_name} {names}"
    ids = {} if of is user else {str(of._meta.model_name): of.pk}
    change = f"{sign}{kind}:{','.join(map(str, pks)) or 'all'}"
    record(Action.RIGHTS, owner=user, detail=detail, **ids, change=change)
