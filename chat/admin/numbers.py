"""What forms of the administration say of a number that they do not take."""

from typing import Any

from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _


def between(least: int, most: int) -> dict[str, Any]:
    """The same sentence for all that can be wrong with it."""
    sentence = format_lazy(_("Write a number from {least} to {most}."), least=least, most=most)
    return dict.fromkeys(["required", "invalid", "min_value", "max_value"], sentence)
