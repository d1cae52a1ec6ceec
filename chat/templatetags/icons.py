"""Icons, for templates."""

from functools import cache

from django import template
from django.templatetags.static import static
from django.utils.html import format_html
from django.utils.safestring import SafeString

register = template.Library()


# Made once: a page has two with each answer.
@register.simple_tag
@cache
def icon(name: str) -> SafeString:
    """An icon of the kept set, `static/vendor/lucide/`."""
    return format_html(
        '<svg class="icon" aria-hidden="true"><use href="{}#{}"/></svg>', static("vendor/lucide/icons.svg"), name
    )
