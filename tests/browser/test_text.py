"""How questions and answers read: directions, formulas, code, links."""

import pytest
from playwright.sync_api import Page, expect

from tests.browser.pages import answer, ask, expect_end
from tests.upstream import Upstream, finish, text

pytestmark = pytest.mark.chromium

ARABIC = """\
استخدم `git pull` ثم أعد المحاولة.

- `git status`: يعرض الحالة
- English here

| اسم | قيمة |
|---|---|
| واحد | 1 |

An English paragraph.
"""


def test_text_from_right_to_left_is_set_so(alice: Page, upstream: Upstream) -> None:
    upstream.script(text(ARABIC), finish())
    ask(alice, "كيف حالك؟")
    expect_end(alice, "complete")
    expect(alice.locator("[data-role=user] [data-text]")).to_have_css("direction", "rtl")
    for block, direction in {"p >> nth=0": "rtl", "ul": "rtl", "table": "rtl", "p >> nth=1": "ltr"}.items():
        expect(answer(alice).locator(block)).to_have_css("direction", direction)
    expect(answer(alice).locator("p > code")).to_have_css("direction", "ltr")
    expect(alice.locator(".history__title")).to_have_css("direction", "rtl")
    # The English item of the Arabic list stands beside its mark.
    expect(answer(alice).locator("li").last).to_have_css("text-align", "right")
