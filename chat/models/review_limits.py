"""Which people's conversations a reviewer sees."""

from __future__ import annotations

from django.contrib.auth.models import Group
from django.db import models
from django.utils.translation import gettext_lazy as _

from chat.models.users import User


class ReviewLimit(models.Model):
    """A reviewer who has this sees only the conversations of people in these groups; without groups, of nobody."""

    # Django's own cascade, as that of the rows for the groups is one.
    reviewer = models.OneToOneField(User, on_delete=models.CASCADE, related_name="review_limit")
    groups = models.ManyToManyField(
        Group,
        related_name="+",
        help_text=_("The reviewer sees the conversations of people in these groups and of nobody else."),
    )

    def __str__(self) -> str:
        return f"limit of {self.reviewer}"

    @classmethod
    def of(cls, reviewer: User) -> ReviewLimit | None:
        return getattr(reviewer, "review_limit", None)

    @classmethod
    def people_of(cls, reviewer: User) -> models.QuerySet[User]:
        """The people whose conversations this reviewer may see."""
        if (limit := cls.of(reviewer)) is None:
            return User.objects.all()
        return User.objects.filter(pk__in=User.objects.filter(groups__in=limit.groups.all()).values("pk"))

    @classmethod
    def groups_of(cls, reviewer: User) -> models.QuerySet[Group]:
        """The groups that this reviewer may know of."""
        limit = cls.of(reviewer)
        return Group.objects.all() if limit is None else limit.groups.all()
