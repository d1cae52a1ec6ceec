"""Records what is deleted of reviews: queues with their marks, labels, notes and flags."""

from typing import Any

from django.db.models.signals import post_delete, pre_delete
from django.dispatch import receiver

from chat.audit.recording import record
from chat.models import AuditRecord, Remark, ReviewLabel, ReviewQueue

Action = AuditRecord.Action


@receiver(pre_delete, sender=ReviewQueue)
def _count_marks(instance: ReviewQueue, **_: Any) -> None:
    wanted, is_open = instance.markings.count(), instance.markings.filter(done=None).count()
    instance._marks = f"{wanted - is_open} of {wanted} marked"  # type: ignore[attr-defined]


@receiver(post_delete, sender=ReviewQueue)
def _queue_deleted(instance: ReviewQueue, **_: Any) -> None:
    marks = instance.__dict__.pop("_marks")
    record(Action.QUEUE_DELETED, detail=f"queue {instance}: {marks}", queue=instance.pk)


@receiver(pre_delete, sender=ReviewLabel)
def _count_conversations(instance: ReviewLabel, **_: Any) -> None:
    instance._given = instance.labellings.count()  # type: ignore[attr-defined]


@receiver(post_delete, sender=ReviewLabel)
def _label_deleted(instance: ReviewLabel, **_: Any) -> None:
    given = instance.__dict__.pop("_given")
    record(Action.LABEL_DELETED, detail=f"label {instance}: conversations={given}", label=instance.pk)


@receiver(post_delete, sender=Remark)
def _remark_deleted(instance: Remark, **_: Any) -> None:
    """By its author. What goes with its conversation or message is no deletion of its own."""
    record(Action.REMARK_DELETED, conversation=instance.conversation, detail=instance.kind)
