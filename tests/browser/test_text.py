"""How questions and answers read: directions, formulas, code, links."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Show, Visit, Watch
from tests.browser.pages import answer, ask, button, expect_end, question, several_frames, store, words
from tests.server import Server
from tests.upstream import Upstream, finish, hang, pause, reasoning, text

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


def test_text_from_right_to_left_is_set_so(show: Show) -> None:
    alice = show("كيف حالك؟", ARABIC)
    expect(alice.locator("[data-role=user] [data-text] p")).to_have_css("direction", "rtl")
    for block, direction in {"p >> nth=0": "rtl", "ul": "rtl", "table": "rtl", "p >> nth=1": "ltr"}.items():
        expect(answer(alice).locator(block)).to_have_css("direction", direction)
    expect(answer(alice).locator("p > code")).to_have_css("direction", "ltr")
    expect(alice.locator(".history__title")).to_have_css("direction", "rtl")
    # The English item of the Arabic list stands beside its mark.
    expect(answer(alice).locator("li").last).to_have_css("text-align", "right")


# Formulas

ROOTS = r"""
The roots of \(ax^2 + bx + c\) are

\[
x = \frac{-b
- \sqrt{b^2 - 4ac}}{2a}
\]

for $a \neq 0$, and the book costs $5 or $10.
"""


def sources(page: Page) -> list[str]:
    return [formula.get_attribute("data-tex") or "" for formula in page.locator(".formula:has(.katex)").all()]


def test_formulas_are_drawn_while_the_reply_is_written(alice: Page, upstream: Upstream) -> None:
    upstream.script(text("So \\(ax^2\\) is"), pause("a"), text(" and $$b$$"), pause("b"), text(" done."), finish())
    ask(alice, "How?")
    expect(alice.locator(".formula .katex")).to_have_count(1)
    alice.evaluate("window.first = document.querySelector('.formula .katex')")
    upstream.release("a")
    expect(alice.locator(".formula .katex")).to_have_count(2)
    assert alice.evaluate("first === document.querySelector('.formula .katex')")
    upstream.release("b")
    expect_end(alice, "complete")
    expect(alice.locator(".formula .katex")).to_have_count(2)
    assert sources(alice) == ["\\(ax^2\\)", "$$b$$"]


def test_stored_formulas_are_drawn_in_their_own_fonts(show: Show) -> None:
    alice = show("How?", ROOTS)
    expect(alice.locator(".formula .katex")).to_have_count(3)
    expect(alice.locator("div.formula .katex-display")).to_be_visible()
    assert alice.evaluate("document.fonts.ready.then(() => document.fonts.check('16px KaTeX_Math'))")
    expect(words(alice)).to_contain_text("the book costs $5 or $10.")


def test_copying_formulas_gives_their_source(show: Show) -> None:
    alice = show("How?", ROOTS)
    alice.context.grant_permissions(["clipboard-read", "clipboard-write"])
    expect(alice.locator(".formula .katex")).to_have_count(3)
    # From inside the first formula to the end.
    alice.evaluate(
        """() => {
            const text = document.querySelector("[data-role=assistant] [data-text]");
            getSelection().setBaseAndExtent(text.querySelector(".katex-html"), 0, text, text.childNodes.length);
        }"""
    )
    alice.keyboard.press("ControlOrMeta+c")
    copied = alice.evaluate("navigator.clipboard.readText()")
    assert copied.split() == ROOTS.split()[3:]
    assert "are\n" in copied
    button(alice, "Copy").click()
    expect(button(alice, "Copied")).to_be_visible()
    assert alice.evaluate("navigator.clipboard.readText()") == ROOTS


@pytest.mark.parametrize("kind", ["css", "js"])
def test_formulas_are_drawn_when_katex_can_be_fetched_again(
    alice: Page, upstream: Upstream, watch: Watch, kind: str
) -> None:
    watch.expect("ERR_FAILED")
    alice.route(f"**/katex.*{kind}", lambda route: route.abort(), times=1)
    upstream.script(text(ROOTS), finish())
    with alice.expect_event("requestfailed", lambda request: "katex" in request.url):
        ask(alice, "Which roots?")
    expect(alice.locator(".formula .katex")).to_have_count(3)
    expect(alice.locator("div.formula .katex-display")).to_have_css("display", "block")


def test_without_formulas_nothing_of_katex_is_loaded(alice: Page, upstream: Upstream) -> None:
    requests: list[str] = []
    alice.on("request", lambda request: requests.append(request.url))
    upstream.script(text("Nothing to draw for $5."), finish())
    ask(alice, "How?")
    expect_end(alice, "complete")
    alice.reload()
    expect(words(alice)).to_have_text("Nothing to draw for $5.")
    assert requests
    assert [url for url in requests if "katex" in url.lower()] == []


HOSTILE = [
    r"\href{javascript:alert(1)}{x}", r"\url{https://evil.example}", r"\includegraphics{https://evil.example/x.png}",
    r"\htmlStyle{position:fixed}{x}", r"\htmlData{copy=x}{x}", r"\htmlId{main}{x}", r"\def\a{\a\a}\a", r"\frac{",
    r"\rule{9999em}{9999em}", r"\kern-9999em x", r"\raisebox{9999em}{x}", r"\text{<img src=x onerror=alert(1)>}",
    "{" * 1000 + "}" * 1000, r"\sqrt{" * 600 + "}" * 600, "a^{" * 1000 + "}" * 1000,
]  # fmt: skip


def test_hostile_formulas_load_nothing_and_stay_in_their_place(alice: Page, upstream: Upstream) -> None:
    upstream.script(text("\n\n".join(f"$${tex}$$" for tex in HOSTILE)), finish())
    ask(alice, "How?")
    expect_end(alice, "complete")
    expect(alice.locator(".formula[data-tex]")).to_have_count(len(HOSTILE))
    assert alice.locator(".formula :is(a, img, [id], [data-copy])").count() == 0
    # Errors leave the source.
    for formula in ("\\def\\a{\\a\\a}\\a", "\\frac{"):
        expect(alice.get_by_text(f"$${formula}$$", exact=True)).to_be_visible()
    at_the_top = alice.evaluate(
        """() => {
            scrollTo(0, 0);
            const box = document.querySelector("[data-role=user] [data-text]").getBoundingClientRect();
            return document.elementFromPoint(box.left + 5, box.top + 5).closest(".formula") === null;
        }"""
    )
    assert at_the_top
    assert alice.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_formula_wider_than_the_page_takes_the_focus(show: Show) -> None:
    wide = f"\\frac{{{'+ x_1 ' * 100}}}{{2}}"
    alice = show("How?", f"$${wide}$$\n\nSo ${wide}$ and $${wide}$$ but $y$")
    expect(alice.locator(".formula .katex")).to_have_count(4)
    expect(alice.locator(".formula[tabindex='0']")).to_have_count(3)
    assert alice.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_without_javascript_the_source_is_shown(visit: Visit, server: Server) -> None:
    plain = visit("alice", java_script_enabled=False)
    plain.goto(store(server, "How?", ROOTS))
    expect(plain.locator("span.formula").first).to_have_text("\\(ax^2 + bx + c\\)")
    assert words(plain).inner_text().split() == ROOTS.split()


# Links, tasks, footnotes


def test_a_link_says_where_it_leads(show: Show) -> None:
    alice = show("How?", "Ask [your bank](https://evil.example/login) or https://bank.example.")
    # What screen readers say; what is copied is the text alone.
    expect(alice.get_by_role("link", name="your bank (evil.example)")).to_be_visible()
    expect(alice.get_by_role("link", name="https://bank.example", exact=True)).to_be_visible()
    expect(words(alice)).to_have_text("Ask your bank or https://bank.example.")


def test_a_footnote_is_one_press_away_from_its_mark(show: Show) -> None:
    alice = show("How?", "A claim[^1].\n\n" + "Text.\n\n" * 60 + "[^1]: The source.")
    mark, note = button(alice, "Footnote 1"), alice.get_by_role("note")
    mark.click()
    expect(note).to_be_focused()
    expect(note).to_be_in_viewport()
    button(alice, "Footnote 1, back to the text").click()
    expect(mark).to_be_focused()
    expect(mark).to_be_in_viewport()


def test_tasks_can_be_read_and_not_changed(show: Show) -> None:
    alice = show("How?", "- [x] salt\n- [ ] pepper")
    expect(alice.get_by_role("checkbox", name="Done")).to_be_checked()
    expect(alice.get_by_role("checkbox", name="To do")).to_be_disabled()


# Questions


QUESTION = """\
Is `f()` at https://x.example *right*?

```python
def f(): ...
```

{}the end
"""


def test_a_question_keeps_its_lines_and_shows_its_code(alice: Page, upstream: Upstream) -> None:
    question(alice).fill(QUESTION.format("one\n  two\n\n"))
    question(alice).press("Enter")
    expect_end(alice, "complete")
    asked = alice.locator("[data-role=user] [data-text]")
    expect(asked.locator("p > code")).to_have_text("f()")
    expect(asked.locator(".code code")).to_have_text("def f(): ...\n")
    expect(asked.get_by_role("link", name="https://x.example")).to_be_visible()
    assert asked.locator("p").last.inner_text() == "one\n  two\n\nthe end"
    assert upstream.requests[-1].body["messages"][-1]["content"] == QUESTION.format("one\n  two\n\n")


def test_a_long_question_is_folded_with_and_without_scripts(show: Show, visit: Visit) -> None:
    alice = show(QUESTION.format("line\n" * 60), "Yes.")
    without_scripts = visit("alice", java_script_enabled=False)
    without_scripts.goto(alice.url)
    for page in (alice, without_scripts):
        text = page.locator(".folded")
        folded = text.bounding_box()
        page.get_by_text("Show all", exact=True).click()
        expect(page.get_by_text("Show less")).to_be_visible()
        whole = text.bounding_box()
        assert folded
        assert whole
        assert folded["height"] * 3 < whole["height"]
        page.get_by_text("Show less").click()
        again = text.bounding_box()
        assert again
        # The page may have scrolled to what was pressed.
        assert {**again, "y": folded["y"]} == folded


# Code

CODE = "```python\n" + "value = 1  # " + "long " * 60 + "\n" + "value += 1\n" * 80 + "```\n"


def test_code_is_coloured_when_the_colours_can_be_fetched_again(alice: Page, upstream: Upstream, watch: Watch) -> None:
    watch.expect("ERR_FAILED")
    alice.route("**/js/highlight.*", lambda route: route.abort(), times=1)
    code = "```python\nimport this\n```\n\n"
    upstream.script(text(code), pause("next"), text(code), pause("end"), finish())
    with alice.expect_event("requestfailed", lambda request: "highlight" in request.url):
        ask(alice, "Which poem?")
    upstream.release("next")
    expect(words(alice).locator(".hljs-keyword")).to_have_text(["import"])
    upstream.release("end")
    expect_end(alice, "complete")


def test_the_header_of_code_stays_in_sight(show: Show) -> None:
    alice = show("How?", CODE)
    for width in (1280, 390):
        alice.set_viewport_size({"width": width, "height": 700})
        alice.locator(".code").evaluate("(code) => scrollBy(0, code.getBoundingClientRect().top + 600)")
        is_on_top = """(tool) => {
            const { left, right, top, bottom } = tool.getBoundingClientRect();
            return document.elementFromPoint((left + right) / 2, (top + bottom) / 2) === tool;
        }"""
        for tool in alice.locator(".code__tool").all():
            assert tool.evaluate(is_on_top)


def test_long_lines_of_code_are_wrapped_with_and_without_scripts(show: Show, visit: Visit) -> None:
    alice = show("How?", CODE)
    without_scripts = visit("alice", java_script_enabled=False)
    without_scripts.goto(alice.url)
    for page in (alice, without_scripts):
        pre = page.locator(".code pre")
        assert pre.evaluate("(pre) => pre.scrollWidth > pre.clientWidth")
        page.get_by_text("Wrap", exact=True).click()
        expect(page.get_by_label("Wrap")).to_be_checked()
        assert pre.evaluate("(pre) => pre.scrollWidth === pre.clientWidth")


def test_wrapping_lasts_while_the_code_is_written_and_after(alice: Page, upstream: Upstream) -> None:
    upstream.script(
        text("```\nother\n```\n\n```python\none\n"), pause("a"), text("two\n"), pause("b"), text("```"), finish()
    )
    ask(alice, "How?")
    expect(words(alice)).to_contain_text("one")
    other, wrap = alice.get_by_label("Wrap").first, alice.get_by_label("Wrap").last
    alice.get_by_text("Wrap", exact=True).last.click()
    upstream.release("a")
    expect(words(alice)).to_contain_text("two")
    expect(wrap).to_be_checked()
    alice.locator(".code").first.evaluate("(code) => { code.isMarked = true; }")
    upstream.release("b")
    expect_end(alice, "complete")
    assert alice.locator(".code").first.evaluate("(code) => code.isMarked"), "what is the same stays"
    expect(wrap).to_be_checked()
    expect(wrap).to_be_focused()
    expect(other).not_to_be_checked()


def test_code_is_downloaded_under_the_name_of_its_language(show: Show) -> None:
    names = {"python": "code.py", "c++": "code.cpp", "": "code.txt", "a-b": "code.txt", "constructor": "code.txt"}
    alice = show("How?", "\n\n".join(f"```{language}\na = {language!r}\n```" for language in names))
    for index, (language, name) in enumerate(names.items()):
        with alice.expect_download() as download:
            button(alice, "Download").nth(index).click()
        assert download.value.suggested_filename == name
        assert download.value.path().read_text() == f"a = {language!r}\n"


# Figures, tables, paper


def test_figures_are_lining(show: Show) -> None:
    expect(words(show("How?", "c = 0"))).to_have_css("font-variant-numeric", "lining-nums")


def test_many_columns_do_not_fold_their_words(show: Show) -> None:
    row = "|".join(f"Column number {column}" for column in range(14))
    alice = show("How?", "\n".join([row, "|".join(["-"] * 14), row]))
    assert alice.locator("td").first.evaluate("(cell) => cell.offsetHeight") < 50
    assert alice.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_what_is_added_to_a_long_text_restyles_little(show: Show) -> None:
    rows = "| a |" + " b |" * 6 + "\n"
    page = show("Long?", "- *one*\n" * 300 + "\n" + rows + "|-" * 7 + "|\n" + rows * 100)
    for parent in ("ul", "tbody"):
        assert 0 < max(styled(page, lambda parent=parent: page.evaluate(ADD_ANOTHER, parent))) < 100  # type: ignore[misc]


def styled(page: Page, change: Callable[[], object]) -> list[int]:
    """How many elements Chromium styles each time that it does, while the page changes."""
    session = page.context.new_cdp_session(page)
    events: list[dict[str, Any]] = []
    ended: list[object] = []
    session.on("Tracing.dataCollected", lambda data: events.extend(data["value"]))
    session.on("Tracing.tracingComplete", lambda data: ended.append(data))  # noqa: PLW0108 (it is marked)
    session.send("Tracing.start", {"traceConfig": {"includedCategories": ["devtools.timeline"]}})
    change()
    session.send("Tracing.end")
    while not ended:
        several_frames(page)
    session.detach()
    return [event["args"].get("elementCount", 0) for event in events if event["name"] == "UpdateLayoutTree"]


ADD_ANOTHER = """(parent) => {
    const element = document.querySelector(`[data-text] ${parent}`);
    element.append(element.lastElementChild.cloneNode(true));
    element.getBoundingClientRect();
}"""


def test_a_page_on_paper_has_its_title_and_no_buttons(show: Show) -> None:
    alice = show("A question for paper", "```\na\n```")
    alice.emulate_media(media="print")
    heading = alice.get_by_role("heading", level=1).bounding_box()
    assert heading
    assert heading["height"] > 20
    for control in alice.locator("main button, main label").all():
        expect(control).to_be_hidden()


# Thinking


def test_thinking_never_loses_its_contrast(alice: Page, upstream: Upstream) -> None:
    upstream.script(reasoning("Let me see."), hang())
    ask(alice, "How?")
    summary = answer(alice).locator("[data-reasoning-summary]")
    expect(summary).to_contain_text("Thinking")
    alice.emulate_media(reduced_motion="no-preference")
    changes = summary.evaluate(
        "(summary) => summary.getAnimations().flatMap(({ effect }) => effect.getKeyframes()).flatMap(Object.keys)"
    )
    assert "color" in changes
    assert "opacity" not in changes


WIDTH = "(box) => box.getBoundingClientRect().width"
# In one step: fonts may still move what is below the formula.
SHOWS_RIGHT_EDGE = """(box) => {
    const { right, top } = box.getBoundingClientRect();
    return box.contains(document.elementFromPoint(right - 9, top + 9));
}"""


def test_wide_code_and_tables_use_a_wide_window(show: Show) -> None:
    columns = "|".join(f"Column number {number}" for number in range(14))
    table = f"|{columns}|\n|{'-|' * 14}\n|{'cell|' * 14}"
    alice = show(
        "Wide, please.", f"A formula $x$.\n\n```py\n{'long = 1; ' * 40}\n```\n\n{table}\n\n```py\nshort = 1\n```\n"
    )
    alice.set_viewport_size({"width": 1920, "height": 900})
    expect(words(alice).locator(".katex")).to_be_attached()
    code, table_box = words(alice).locator(".code"), words(alice).locator(".table")
    wide, short = code.nth(0), code.nth(1)
    assert short.evaluate(WIDTH) < 750
    for box in (wide, table_box):
        assert box.evaluate(WIDTH) > 950
        assert box.evaluate(SHOWS_RIGHT_EDGE)
    assert alice.evaluate("document.documentElement.scrollWidth") == 1920
    alice.set_viewport_size({"width": 390, "height": 900})
    assert alice.evaluate("document.documentElement.scrollWidth") == 390
