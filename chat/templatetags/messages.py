"""Filters that show messages."""

from hashlib import blake2b

from django import template
from django.core.cache import caches
from django.utils.safestring import SafeString, mark_safe

from chat.markdown import VERSION, render

CACHE_SECONDS = 24 * 60 * 60

register = template.Library()


@register.filter
def markdown(text: str) -> SafeString:
    """Return the Markdown `text` as safe HTML, from the cache if it has been shown before."""
    digest = blake2b(text.encode(errors="surrogatepass"), digest_size=16).hexdigest()
    key = f"markdown:{VERSION}:{digest}"
    cache = caches["rendered"]
    html: str | None = cache.get(key)
    if html is None:
        html = str(render(text))
        cache.set(key, html, CACHE_SECONDS)
    return mark_safe(html)  # noqa: S308 - `render` made it.
