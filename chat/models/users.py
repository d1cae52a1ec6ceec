"""The people who sign in."""

from __future__ import annotations

from django.contrib.auth.models import AbstractUser
from django.db import models
from django.db.models import F


class User(AbstractUser):
    """Django's own user, what the sidebar lists for them, what they want, and the model that they asked last."""

    # Raised whenever a conversation appears, moves to the top, or disappears.
    list_version = models.PositiveBigIntegerField(db_default=0, editable=False)

    model = models.CharField(max_length=200, blank=True, db_default="", editable=False)

    # Sent to the model with all of their questions.
    instructions = models.TextField(blank=True, db_default="", editable=False)

    @classmethod
    def remember_model(cls, pk: int, model: str) -> None:
        """Let their next conversation begin with the model that they have just chosen."""
        cls.objects.filter(pk=pk).exclude(model=model).update(model=model)

    @classmethod
    def change_list(cls, *pks: int) -> None:
        """Record that the sidebars of these people list something else now."""
        cls.objects.filter(pk__in=pks).update(list_version=F("list_version") + 1)
