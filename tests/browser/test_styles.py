"""What a browser makes of the styles that are served."""

from playwright.sync_api import Page

from tests.test_staticfiles import STYLES, minified

RULES = r"""style => {
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(style);
    // What has a variable in it is kept as it was written.
    return Array.from(sheet.cssRules, rule => rule.cssText.replaceAll(/\s+/g, " "));
}"""


def test_a_minified_style_has_the_same_rules(page: Page) -> None:
    for path in STYLES:
        style = minified(path)
        assert page.evaluate(RULES, style) == page.evaluate(RULES, path.read_text())
        assert len(style) < path.stat().st_size
