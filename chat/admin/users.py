"""Users, groups and email addresses. Only superusers give rights or change what belongs to people who have some."""

from collections.abc import Iterable, Sequence
from typing import Any, cast

from allauth.account.admin import EmailAddressAdmin as AllauthEmailAddressAdmin
from allauth.account.models import EmailAddress
from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from chat.admin.lookups import NamedLookups
from chat.database import retry_on_deadlock
from chat.models import Conversation, Message, QueuedQuestion, Reply, ReviewLimit, User

RIGHTS = ("is_staff", "is_superuser", "groups", "user_permissions")

admin.site.unregister([Group, EmailAddress])


@admin.register(User)
class UserAdmin(NamedLookups, DjangoUserAdmin):  # type: ignore[type-arg]  # It takes none at run time.
    lookups = frozenset(
        {"is_staff__exact", "is_superuser__exact", "is_active__exact", "groups__id__exact", "groups__isnull"}
    )

    class Media:
        css = {"all": ["css/admin.css"]}

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> list[str] | tuple[str, ...]:
        fields = super().get_readonly_fields(request, obj)
        return fields if is_superuser(request) else [*fields, *RIGHTS]

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return super().has_change_permission(request, obj) and (obj is None or may_touch(request, [obj]))

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return super().has_delete_permission(request, obj) and (obj is None or may_touch(request, [obj]))

    def get_deleted_objects(
        self, objs: Sequence[User] | QuerySet[User], request: HttpRequest
    ) -> tuple[list[str], dict[str, int], set[str], list[str]]:
        """Names and figures. Django's own list names each message and each entry of a reply that goes with a user."""
        theirs = Conversation.objects.filter(owner__in=objs)
        seen = Conversation.objects.for_reviewer(cast("User", request.user)).filter(owner__in=objs)
        count, sees = seen.count(), request.user.has_perm("chat.view_conversation")
        missing = set()
        # Whoever is limited to some people does not delete the conversations of others.
        if theirs.exists() and (
            not request.user.has_perm("chat.delete_conversation") or (sees and count < theirs.count())
        ):
            missing.add(gettext("conversation"))
        if not may_touch(request, objs):
            missing.add(gettext("member of the staff"))
        figures = {gettext("users"): len(objs)}
        if sees:
            figures |= {
                gettext("conversations"): count,
                gettext("messages"): Message.objects.filter(conversation__in=seen).count(),
                gettext("queued questions"): QueuedQuestion.objects.filter(after__conversation__in=seen).count(),
            }
        return list(map(str, objs)), figures, missing, []

    def delete_model(self, request: HttpRequest, obj: User) -> None:
        self.delete_queryset(request, User.objects.filter(pk=obj.pk))

    @retry_on_deadlock
    @transaction.atomic
    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        # Otherwise the deletion could wait for a question, or for a commit of replies that are being written, and that
        # for the deletion. Questions lock their person first.
        User.change_list(*queryset.order_by().values_list("pk", flat=True))
        Reply.objects.filter(message__conversation__owner__in=queryset).lock()
        queryset.delete()


def is_superuser(request: HttpRequest) -> bool:
    return bool(request.user.is_active and getattr(request.user, "is_superuser", False))


def may_touch(request: HttpRequest, users: Iterable[User]) -> bool:
    """A new password for somebody with rights would be a way to those rights."""
    return is_superuser(request) or not any(user.is_staff or user.is_superuser for user in users)


class ForSuperusers(NamedLookups):
    """Comes before a ModelAdmin: people who are not superusers may only look."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return is_superuser(request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return is_superuser(request)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return is_superuser(request)


@admin.register(Group)
class GroupAdmin(ForSuperusers, DjangoGroupAdmin):
    """A group's permissions are those of its members."""


@admin.register(EmailAddress)
class EmailAddressAdmin(ForSuperusers, AllauthEmailAddressAdmin):
    """Whoever adds an address to an account can reset its password."""

    lookups = frozenset({"primary__exact", "verified__exact"})


@admin.register(ReviewLimit)
class ReviewLimitAdmin(ForSuperusers, admin.ModelAdmin):  # type: ignore[type-arg]  # It takes none at run time.
    """Which people's conversations a reviewer sees."""

    list_display = ["reviewer", "of"]
    list_select_related = ["reviewer"]
    # Not a list of all people.
    raw_id_fields = ["reviewer"]
    filter_horizontal = ["groups"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[ReviewLimit]:
        limits: QuerySet[ReviewLimit] = super().get_queryset(request)
        return limits.prefetch_related("groups")

    @admin.display(description=_("sees people of"))
    def of(self, limit: ReviewLimit) -> str:
        return ", ".join(group.name for group in limit.groups.all())
