"""Scripts in ES modules, for templates."""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from posixpath import dirname, join, normpath

from django import template
from django.contrib.staticfiles import finders
from django.templatetags.static import static
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

register = template.Library()

# What a module needs before it runs. `import()` fetches later, if at all.
IMPORT = re.compile(r'^(?:import|export)\s(?:[^";]*\sfrom\s)?"(\.[^"]+)"', re.MULTILINE)


# Until the process ends: browsers merely fetch a module later, or for nothing, after somebody has changed an import.
@register.simple_tag
@cache
def script_module(name: str) -> SafeString:
    """Run a module, and let browsers fetch all that it imports at once, instead of one level after the other."""
    preloads = format_html_join(
        "\n", '<link rel="modulepreload" href="{}">', ((static(name),) for name in imported(name))
    )
    return format_html('<script type="module" src="{}"></script>\n{}', static(name), preloads)


def imported(name: str) -> Iterator[str]:
    """The names of all static files that a module imports, directly or through others."""
    names = [name]
    for importer in names:
        for path in IMPORT.findall(_source(importer)):
            found = normpath(join(dirname(importer), path))
            if found not in names:
                names.append(found)
                yield found


def _source(name: str) -> str:
    path = finders.find(name)
    if path is None:
        raise FileNotFoundError(name)
    return Path(path).read_text()
