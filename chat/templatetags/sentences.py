"""The filter that puts an error into words."""

from django import template

from chat import sentences
from chat.events import Error

register = template.Library()


@register.filter
def sentence(error: Error | None) -> str:
    """Return the sentence for `error`, or nothing where there is none."""
    return sentences.of(error) if error else ""
