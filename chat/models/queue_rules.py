"""Rules by which queues of reviewers fill themselves."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.core.validators import MaxValueValidator
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from chat.models.ids import first_of
from chat.models.queues import ReviewQueue

# How often a rule looks for conversations.
EVERY = timedelta(minutes=1)
# For so long it looks at a conversation again and again: it may fail, or be judged, late.
LOOKS_FOR = timedelta(days=30)


class QueueRuleQuerySet(models.QuerySet["QueueRule"]):
    def due(self) -> QueueRuleQuerySet:
        return self.filter(share__gt=0, looked__lte=timezone.now() - EVERY)


class QueueRule(models.Model):
    """That a share of the new conversations which meet some conditions comes into a queue by itself."""

    queue = models.OneToOneField(ReviewQueue, on_delete=models.DB_CASCADE, primary_key=True, related_name="rule")
    # Who has set it. Only what they may see and read comes in.
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.DB_CASCADE, related_name="queue_rules")
    # The values by the names in chat/conditions.py.
    conditions = models.JSONField(default=dict)
    share = models.PositiveSmallIntegerField(_("share"), validators=[MaxValueValidator(100)])
    # New is what was begun after this.
    since = models.DateTimeField(default=timezone.now)
    # When it looked last, and at which conversation; the next ones follow.
    looked = models.DateTimeField(default=timezone.now)
    reached = models.UUIDField(default=UUID(int=0))

    objects = QueueRuleQuerySet.as_manager()

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"rule of queue {self.queue_id}"

    @property
    def summary(self) -> str:
        """What it chooses, for the record. Its conditions may name labels, which not everybody may know of."""
        wanted = " ".join(f"{name}={value}" for name, value in self.conditions.items())
        return f"{self.share}% of {wanted or 'all'}"

    def chooses(self, conversation: UUID) -> bool:
        """Whether it is in the share: always the same for a queue, and with a larger share still."""
        digest = hashlib.blake2b(conversation.bytes, digest_size=8, key=self.queue_id.bytes).digest()
        return int.from_bytes(digest) * 100 < self.share << 64

    @property
    def can_choose(self) -> bool:
        """Whether its owner may still see and read conversations."""
        return self.owner.is_staff and self.owner.has_perms(["chat.view_conversation", "chat.read_conversation"])

    @property
    def start(self) -> UUID:
        """A conversation with a lower id is none that it looks at now."""
        return max(first_of(max(self.since, timezone.now() - LOOKS_FOR)), self.reached)
