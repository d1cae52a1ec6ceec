"""Filters of the list of conversations that reviewers have given names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from chat.models.ids import uuid7

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser

    from chat.models.users import User


class SavedFilterQuerySet(models.QuerySet["SavedFilter"]):
    def for_user(self, user: User | AnonymousUser) -> SavedFilterQuerySet:
        return self.filter(person_id=user.pk)


class SavedFilter(models.Model):
    """The query of the list's address, under a name. Nobody else sees it."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    person = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.DB_CASCADE, related_name="saved_filters", db_index=False
    )
    name = models.CharField(_("name"), max_length=60)
    query = models.CharField(max_length=2000)

    objects = SavedFilterQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["person", "name"], name="saved_filter_name")]

    def __str__(self) -> str:
        return self.name
