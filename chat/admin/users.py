"""Django's own list of users, with a page for their deletion that can be read."""

from collections.abc import Sequence

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.db.models import QuerySet
from django.http import HttpRequest

from chat.models import Conversation, Message, User


@admin.register(User)
class UserAdmin(DjangoUserAdmin):  # type: ignore[type-arg]  # It takes none at run time.
    def get_deleted_objects(
        self, objs: Sequence[User] | QuerySet[User], request: HttpRequest
    ) -> tuple[list[str], dict[str, int], set[str], list[str]]:
        """Names and figures. Django's own list names every message and every piece of a reply that goes with a user."""
        conversations = Conversation.objects.filter(owner__in=objs).count()
        messages = Message.objects.filter(conversation__owner__in=objs).count()
        may = not conversations or request.user.has_perm("chat.delete_conversation")
        figures = {"users": len(objs), "conversations": conversations, "messages": messages}
        return list(map(str, objs)), figures, set() if may else {"conversation"}, []
