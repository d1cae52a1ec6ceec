"""The people who sign in."""

from __future__ import annotations

from django.contrib.auth.models import AbstractUser
from django.db import models
from django.db.models import F


class User(AbstractUser):
    """Django's own user, and the version of what the sidebar lists for them."""

    # Raised whenever a conversation appears, moves to the top, or disappears.
    list_version = models.PositiveBigIntegerField(db_default=0, editable=False)

    @classmethod
    def change_list(cls, *pks: int) -> None:
        """Record that the sidebars of these people list something else now."""
        cls.objects.filter(pk__in=pks).update(list_version=F("list_version") + 1)
