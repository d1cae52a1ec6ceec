from django import template
from django.conf import settings

register = template.Library()


@register.simple_tag
def version() -> str:
    """Parley's version, such as 0.2.0."""
    return str(settings.VERSION)
