"""Filters that put errors and times into words."""

from datetime import timedelta

from django import template
from django.utils.translation import gettext

from chat import sentences
from chat.events import Error

register = template.Library()


@register.filter
def sentence(error: Error | None) -> str:
    """Return the sentence for `error`, or nothing where there is none."""
    return sentences.of(error) if error else ""


@register.filter
def seconds(time: timedelta) -> str:
    """Return the time in seconds, with one digit after the point."""
    return gettext("%(seconds).1f s") % {"seconds": time.total_seconds()}
