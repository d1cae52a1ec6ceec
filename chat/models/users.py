"""The people who sign in."""

from __future__ import annotations

from django.contrib.auth.models import AbstractUser
from django.db import models
from django.db.models import F
from django.utils.translation import gettext_lazy as _

from chat.compiled import Update, compiled, compiled_update


class User(AbstractUser):
    """Django's own user, what the sidebar lists for them, what they want, and the model that they asked last."""

    # Raised whenever a conversation appears, moves to the top, or disappears.
    list_version = models.PositiveBigIntegerField(db_default=0, editable=False)

    model = models.CharField(max_length=200, blank=True, db_default="", editable=False)

    class Theme(models.TextChoices):
        EACH = "", _("Each browser has its own")
        AUTO = "auto", _("As the system")
        LIGHT = "light", _("Light")
        DARK = "dark", _("Dark")

    class TextSize(models.TextChoices):
        SMALL = "small", _("Small")
        MEDIUM = "", _("Medium")
        LARGE = "large", _("Large")
        LARGEST = "largest", _("Very large")

    class Typeface(models.TextChoices):
        SERIF = "", _("With serifs, as in a book")
        SANS = "sans", _("Without serifs")

    class Enter(models.TextChoices):
        SENDS = "", _("Sends the question")
        BREAKS = "breaks", _("Starts a new line; Ctrl + Enter (⌘ Enter) sends")

    # What pages look like and do, on all devices of the person.
    theme = models.CharField(max_length=8, choices=Theme, blank=True, db_default="", editable=False)
    text_size = models.CharField(max_length=8, choices=TextSize, blank=True, db_default="", editable=False)
    typeface = models.CharField(max_length=8, choices=Typeface, blank=True, db_default="", editable=False)
    enter = models.CharField(max_length=8, choices=Enter, blank=True, db_default="", editable=False)
    # As Django names languages; empty for that of the page.
    date_language = models.CharField(max_length=16, blank=True, db_default="", editable=False)
    # The model of new conversations; empty for the one that was asked last.
    default_model = models.CharField(max_length=200, blank=True, db_default="", editable=False)

    # Sent to the model with all of their questions.
    instructions = models.TextField(blank=True, db_default="", editable=False)

    @classmethod
    def reader_now(cls, pk: int) -> User | None:
        """The person, if they may see conversations and read them now; the one of a request remembers its rights."""
        user = cls.objects.filter(pk=pk, is_staff=True).first()
        return user if user and user.has_perms(["chat.view_conversation", "chat.read_conversation"]) else None

    def remember_model(self, model: str) -> None:
        """Let their next conversation begin with the model that they have just chosen; with the row locked."""
        if self.model != model:
            self.model = model
            self.save(update_fields=["model"])

    @classmethod
    def find(cls, pk: int) -> User | None:
        return next(iter(_found(pk)), None)

    @classmethod
    def lock(cls, pk: int) -> User:
        """Keep out everybody else who asks in this person's name, until the end of the transaction."""
        for person in _locked(pk):
            return person
        raise cls.DoesNotExist

    @classmethod
    def change_list(cls, *pks: int) -> None:
        """Record that the sidebars of these people list something else now."""
        for pk in sorted(pks):
            _change_list(pk)


@compiled
def _found(pk: int) -> models.QuerySet[User]:
    return User.objects.filter(pk=pk)


@compiled
def _locked(pk: int) -> models.QuerySet[User]:
    return User.objects.select_for_update(no_key=True).filter(pk=pk)


@compiled_update
def _change_list(pk: int) -> Update:
    return User.objects.filter(pk=pk), {"list_version": F("list_version") + 1}
