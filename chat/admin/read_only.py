"""What the administration shows and nobody changes there."""

from typing import Any

from django.http import HttpRequest


class ReadOnly:
    """Comes before a ModelAdmin: nobody adds, changes or deletes its rows."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
