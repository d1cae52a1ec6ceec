"""Who read, deleted or changed what. chat/audit/ writes it; the database refuses to change or delete any of it."""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from chat.models.users import User


class AuditQuerySet(models.QuerySet["AuditRecord"]):
    def read_of(self, owner: User) -> AuditQuerySet:
        """When others have read their conversations."""
        read = (AuditRecord.Action.READ, AuditRecord.Action.WATCHED, AuditRecord.Action.EXPORTED)
        return self.filter(owner_id=owner.pk, action__in=read).exclude(by_id=owner.pk)


class AuditRecord(models.Model):
    """One thing that somebody did. It names people by id and name, and so outlives their accounts.

    The records are a chain: `mac` covers all other fields, of which `before` is the MAC of the record with the number
    before.
    """

    class Action(models.TextChoices):
        # Of text that is somebody else's.
        LISTED = "listed", _("Titles listed")
        SEARCHED = "searched", _("Texts searched")
        READ = "read", _("Transcript read")
        WATCHED = "watched", _("Reply watched")
        EXPORTED = "exported", _("Exported")
        ERASED = "erased", _("Conversation deleted")
        SIGNED_IN = "signed in", _("Signed in")
        WRONG_PASSWORD = "wrong password", _("Wrong password")
        UNKNOWN_LOGIN = "unknown login", _("Unknown login")
        SIGNED_OUT = "signed out", _("Signed out")
        CREATED = "created", _("Account created")
        DELETED = "deleted", _("Account deleted")
        PASSWORD = "password", _("Password changed")
        EMAIL = "email", _("Email address changed")
        RIGHTS = "rights", _("Rights changed")
        RULE = "queue rule", _("Rule of a queue changed")
        QUEUE_DELETED = "queue deleted", _("Queue of reviewers deleted")
        LABEL_DELETED = "label deleted", _("Label of reviewers deleted")
        REMARK_DELETED = "remark deleted", _("Note or flag deleted")

    number = models.BigIntegerField(primary_key=True)
    time = models.DateTimeField(default=timezone.now)
    action = models.CharField(max_length=16, choices=Action)
    # Who did it; empty for Parley itself and for people who are not signed in.
    by_id = models.CharField(max_length=20, blank=True)
    by_name = models.CharField(_("by"), max_length=150, blank=True)
    # Whose text, or whose account it is.
    owner_id = models.CharField(max_length=20, blank=True)
    owner_name = models.CharField(_("owner"), max_length=150, blank=True)
    conversation = models.UUIDField(null=True, blank=True)
    # The filter, the words that were searched, the page that was read, what has changed.
    detail = models.TextField(blank=True)
    address = models.CharField(max_length=45, blank=True)
    reason = models.TextField(blank=True)
    # The id of the key that made the MAC.
    key = models.CharField(max_length=16)
    before = models.CharField(max_length=64, blank=True)
    mac = models.CharField(max_length=64)

    objects = AuditQuerySet.as_manager()

    class Meta:
        default_permissions = ("view",)
        indexes = [
            models.Index(fields=["action", "number"], name="audit_action"),
            models.Index(fields=["by_id", "number"], name="audit_by"),
            models.Index(fields=["by_id", "action", "number"], name="audit_by_action"),
            models.Index(fields=["owner_id", "number"], name="audit_owner"),
            models.Index(fields=["owner_id", "action", "number"], name="audit_owner_action"),
            models.Index(fields=["conversation", "number"], name="audit_conversation"),
            models.Index(fields=["time"], name="audit_time"),
        ]

    def __str__(self) -> str:
        return f"record {self.number}"


class AuditHead(models.Model):
    """The end of the chain, one row: whoever adds a record locks it, last of all."""

    number = models.BigIntegerField(default=0)
    mac = models.CharField(max_length=64, blank=True)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"end at record {self.number}"
