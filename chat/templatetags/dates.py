"""Dates in the language that a person has chosen for them, for templates."""

from datetime import datetime

from django import template
from django.template import Context
from django.utils import dateformat, timezone, translation
from django.utils.formats import date_format
from django.utils.translation import gettext

register = template.Library()


@register.simple_tag(takes_context=True)
def moment(context: Context, value: datetime) -> str:
    """Day and time."""
    return _written(context, value, "DATETIME_FORMAT", gettext("j F Y, H:i"))


@register.simple_tag(takes_context=True)
def day(context: Context, value: datetime) -> str:
    return _written(context, value, "DATE_FORMAT", gettext("j F Y"))


def _written(context: Context, value: datetime, form: str, own: str) -> str:
    """In Django's form for the language of the page's person; in our `own` where they have chosen none."""
    local = timezone.localtime(value)
    language = getattr(context.get("preferences"), "date_language", "")
    if not language:
        return dateformat.format(local, own)
    with translation.override(language):
        return date_format(local, form)
