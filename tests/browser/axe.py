"""What axe finds on a page, in light and in dark."""

from typing import Any, Literal

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Page

GRAVE = ("serious", "critical")
# The dark page has the same elements, in other colours.
COLOURS = {"runOnly": ["color-contrast", "link-in-text-block"]}

# In Django's admin colours change slowly.
TRANSITIONS = """
    Promise.all(document.getAnimations().filter((one) => one instanceof CSSTransition).map(({ finished }) => finished))
"""

RUN = "([part, options]) => axe.run(part ?? document, options).then(({ violations }) => violations)"


def expect_accessible(page: Page) -> None:
    """Nothing grave, that is."""
    found = [
        f"{violation['id']}: {node['html']} ({node['failureSummary']})"
        for violation in violations(page)
        if violation["impact"] in GRAVE
        for node in violation["nodes"]
    ]
    assert not found, "\n".join(found)


def violations(page: Page, part: str | None = None) -> list[dict[str, Any]]:
    """What is wrong with the page, or with the part of it that this selector finds."""
    if page.evaluate("typeof axe") == "undefined":
        # Half a megabyte, of which a document needs no second copy.
        page.evaluate(AXE_SCRIPT)
    found: list[dict[str, Any]] = []
    schemes: list[tuple[Literal["light", "dark"], dict[str, Any]]] = [("dark", COLOURS), ("light", {})]
    for scheme, rules in schemes:
        page.emulate_media(color_scheme=scheme)
        page.evaluate(TRANSITIONS)
        found += page.evaluate(RUN, [part, {"resultTypes": ["violations"], **rules}])
    return found
