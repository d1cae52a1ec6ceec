"""How quickly pages open, scroll and grow in Chromium, in front of a real server with DEBUG=0.

    python -m tests.pages --runs 3

The table has the median and the worst of all runs. Tasks and frames are timed by the browser's clock, so on a busy
machine they take longer than the page is to blame for. CPU is that of the page's main thread.
"""

import argparse
import os
import shlex
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import batched
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

import django
from playwright.sync_api import CDPSession, Page, sync_playwright

# Before Django reads its settings: nobody's own reach the server.
import tests.environment  # noqa: F401

MESSAGES = 2000
REPLY_CHARS = 200_000
# Of a list or table.
BLOCK_CHARS = 80_000
# The endpoint sends this many characters at once, this often.
DELTA_CHARS = 100
DELTA_SECONDS = 0.01
# A person in a hurry scrolls by this many pixels, this often.
WHEEL_PX = 400
WHEEL_SECONDS = 0.016
PATIENCE_MS = 600_000
PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True, "device_scale_factor": 3}
SLOW_CPU = {"rate": 4}
# Bytes per second, and milliseconds.
SLOW_NETWORK = {"offline": False, "downloadThroughput": 200_000, "uploadThroughput": 94_000, "latency": 150}

# When the message that the reader wants has been painted, and how long tasks and frames take.
WATCH = """
window.watch = { long: 0, longest: 0, gap: 0 };
new PerformanceObserver((list) => {
    for (const { duration } of list.getEntries()) {
        watch.long++;
        watch.longest = Math.max(watch.longest, duration);
    }
}).observe({ type: "longtask" });
let before = Infinity;
requestAnimationFrame(function frame(now) {
    watch.gap = Math.max(watch.gap, now - before);
    before = now;
    requestAnimationFrame(frame);
});
requestAnimationFrame(function look() {
    const wanted = location.search.includes("from=start") ? "first" : "last";
    const box = document.querySelector(`[data-messages] > :${wanted}-child`)?.getBoundingClientRect();
    if (!box || box.bottom < 0 || box.top > innerHeight) return requestAnimationFrame(look);
    requestAnimationFrame(() => { watch.shown = performance.now(); });
});
"""

type Figures = dict[str, float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "DATABASE_URL": f"sqlite:///{folder}/pages.sqlite3",
        }
        django.setup()
        show(measured(options.runs))


def measured(runs: int) -> dict[str, list[float]]:
    figures: dict[str, list[float]] = defaultdict(list)
    with serving() as (server, upstream, url), fronted(server) as front:
        for run in range(runs):
            # Then it has not rendered anything yet.
            server.restart()
            for part in (
                cold_start(server, "cold start on a slow phone"),
                cold_start(front, "the same behind nginx"),
                long_conversation(server, url),
                *(growing(server, upstream, what, text) for what, text in replies().items()),
            ):
                for name, figure in part.items():
                    figures[name].append(figure)
            print(f"run {run + 1} of {runs}", file=sys.stderr)  # noqa: T201
    return figures


@contextmanager
def serving() -> Iterator[tuple[Any, Any, str]]:
    """A server, its endpoint, and the address of Alice's long conversation."""
    # They need Django's setup.
    from django.core.management import call_command
    from pytest_django import DjangoDbBlocker

    from chat.models import User
    from tests.conversations import conversation_of
    from tests.nginx import HOST
    from tests.server import Database, Server
    from tests.upstream import Upstream

    call_command("migrate", verbosity=0)
    call_command("collectstatic", verbosity=0, interactive=False)
    conversation = conversation_of(User.objects.create_user("alice"), [*texts(MESSAGES)])
    url = os.environ["DATABASE_URL"]
    database = Database(url.removeprefix("sqlite:///"), url, DjangoDbBlocker(_ispytest=True))
    with Upstream() as upstream:
        hosts = {"ALLOWED_HOSTS": f"127.0.0.1,{HOST}"}
        server = Server(database, {"DEBUG": "0", "OPENAI_BASE_URL": upstream.url, "OPENAI_MODEL": "scripted"} | hosts)
        try:
            yield server, upstream, conversation.get_absolute_url()
        finally:
            server.kill()


@dataclass(frozen=True)
class Front:
    """The server as browsers reach it through nginx, over HTTP/2."""

    url: str
    session_cookie: Callable[[str], str]


@contextmanager
def fronted(server: Any) -> Iterator[Front]:
    from tests.nginx import running

    site = Path("docs/nginx.conf").read_text()
    with tempfile.TemporaryDirectory() as folder, running(site, [server.port], Path(folder)) as nginx:
        yield Front(nginx.url, server.session_cookie)


@contextmanager
def browsing(server: Any, **options: Any) -> Iterator[tuple[Page, CDPSession]]:
    """Alice's page in a browser that has never been here."""
    from tests.browser.conftest import CHROMIUM
    from tests.programs import program

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program("chromium"), args=shlex.split(CHROMIUM))
        # No authority has signed nginx's certificate.
        context = browser.new_context(base_url=server.url, ignore_https_errors=True, **options)
        context.add_cookies([{"name": "sessionid", "value": server.session_cookie("alice"), "url": server.url}])
        context.add_init_script(WATCH)
        page = context.new_page()
        try:
            yield page, context.new_cdp_session(page)
        finally:
            browser.close()


# What is measured


def cold_start(server: Any, what: str) -> Figures:
    sizes: list[float] = []
    # Then the page fetches what the next one needs.
    until_load: list[float] = []
    with browsing(server, **PHONE) as (page, session):
        session.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"]))
        session.on("Page.loadEventFired", lambda _: until_load.extend(sizes))
        session.send("Network.enable")
        session.send("Page.enable")
        session.send("Network.emulateNetworkConditions", SLOW_NETWORK)
        session.send("Emulation.setCPUThrottlingRate", SLOW_CPU)
        page.goto("/")
        # It may come a moment after the page has loaded.
        page.wait_for_function("performance.getEntriesByName('first-contentful-paint').length")
        painted, ready = page.evaluate(
            "[performance.getEntriesByName('first-contentful-paint')[0].startTime,"
            " performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd]"
        )
    return {
        f"{what}: first paint, ms": painted,
        f"{what}: all scripts have run, ms": ready,
        f"{what}: kB": sum(until_load) / 1000,
        f"{what}: requests": len(until_load),
    }


def long_conversation(server: Any, url: str) -> Figures:
    with browsing(server) as (page, _):
        # People come from another page, so styles and scripts are there.
        page.goto("/", wait_until="networkidle")
        figures = {}
        for time_ in ("first", "second"):
            page.goto(url)
            figures[f"2,000 messages: opening them for the {time_} time, ms"] = shown(page)
        watch(page)
        scroll_to_first(page)
        figures |= watched(page, "2,000 messages: scrolling to the first")
        page.goto(url)
        with page.expect_navigation():
            page.keyboard.press("Control+k")
            page.keyboard.type("first message")
            page.keyboard.press("Enter")
        figures["2,000 messages: going to the first by command, ms"] = shown(page)
    # Apart from the frames: while Chromium notes its tasks, it stops once for 350 ms.
    with browsing(server) as (page, session):
        page.goto(url)
        shown(page)
        with traced(page, session) as tasks:
            scroll_to_first(page)
        figures["2,000 messages: scrolling to the first: CPU of the longest task, ms"] = max(tasks)
    return figures


def scroll_to_first(page: Page) -> None:
    page.mouse.move(600, 300)
    while page.evaluate("scrollY > 0 || document.querySelector('[data-earlier] a') !== null"):
        for _ in range(10):
            page.mouse.wheel(0, -WHEEL_PX)
            time.sleep(WHEEL_SECONDS)
    assert page.locator("[data-messages] [data-message]").count() == MESSAGES


def replies() -> dict[str, str]:
    """The replies that are read while they are written."""
    chance = Random(7)  # noqa: S311
    items = (f"- **{number}** is {sentence(chance)}" for number in range(BLOCK_CHARS))
    rows = (f"| {number} | *{chance.random():.3f}* | {sentence(chance)} |" for number in range(BLOCK_CHARS))
    return {
        "a reply of 200 KB": "\n\n".join(texts(MESSAGES))[:REPLY_CHARS],
        "a list of 80 KB": lines(items, BLOCK_CHARS),
        "a table of 80 KB": "| name | value | note |\n| --- | --- | --- |\n" + lines(rows, BLOCK_CHARS),
    }


def growing(server: Any, upstream: Any, what: str, reply: str) -> Figures:
    from tests.browser.pages import answer, ask
    from tests.upstream import finish, sleep, text

    deltas = map("".join, batched(reply, DELTA_CHARS, strict=False))
    upstream.script(*(step for delta in deltas for step in (text(delta), sleep(DELTA_SECONDS))), finish())
    with browsing(server) as (page, session):
        page.goto("/")
        session.send("Performance.enable", {"timeDomain": "threadTicks"})
        ask(page, "At length, please.")
        watch(page)
        answer(page).and_(page.locator("[data-status=complete]")).wait_for(timeout=PATIENCE_MS)
        figures = watched(page, what)
        taken = {metric["name"]: metric["value"] for metric in session.send("Performance.getMetrics")["metrics"]}
    return figures | {
        f"{what}: CPU, s": taken["TaskDuration"],
        f"{what}: CPU of scripts, s": taken["ScriptDuration"],
        f"{what}: CPU of style and layout, s": taken["RecalcStyleDuration"] + taken["LayoutDuration"],
    }


def lines(of: Iterator[str], chars: int) -> str:
    """As many of these as fit."""
    text = ""
    for line in of:
        if len(text) + len(line) >= chars:
            break
        text += line + "\n"
    return text


def shown(page: Page) -> float:
    """Milliseconds from the start of the navigation until the message that the reader wants is painted."""
    return float(page.wait_for_function("watch.shown").json_value())


@contextmanager
def traced(page: Page, session: CDPSession) -> Iterator[list[float]]:
    """Afterwards the list has the milliseconds of CPU that each task of the page's main thread has taken meanwhile."""
    taken: list[float] = []
    events: list[dict[str, Any]] = []
    ended: list[object] = []
    session.on("Tracing.dataCollected", lambda data: events.extend(data["value"]))
    session.on("Tracing.tracingComplete", lambda data: ended.append(data))  # noqa: PLW0108 (it is marked)
    session.send("Tracing.start", {"traceConfig": {"includedCategories": ["toplevel"]}})
    yield taken
    session.send("Tracing.end")
    while not ended:
        page.wait_for_timeout(100)
    tasks: dict[object, list[float]] = defaultdict(list)
    for event in events:
        if event["name"].endswith("RunTask") and "tdur" in event:
            # Chromium sometimes notes more CPU than time.
            tasks[event["pid"], event["tid"]].append(min(event["dur"], event["tdur"]) / 1000)
    # Chromium may keep another page in store, which does little.
    names = [event for event in events if event["name"] == "thread_name"]
    mains = [(main["pid"], main["tid"]) for main in names if main["args"]["name"] == "CrRendererMain"]
    taken += max((tasks[main] for main in mains), key=sum)


def watch(page: Page) -> None:
    page.evaluate("watch.long = watch.longest = watch.gap = 0")


def watched(page: Page, what: str) -> Figures:
    seen = page.evaluate("watch")
    return {
        f"{what}: tasks over 50 ms": seen["long"],
        f"{what}: the longest of them, ms": seen["longest"],
        f"{what}: longest time between two frames, ms": seen["gap"],
    }


# Messages as people and models write them, no two alike


def texts(count: int) -> Iterator[str]:
    chance = Random(7)  # noqa: S311
    for number in range(count // 2):
        yield f"{number}. {sentence(chance)}"
        parts = chance.choices([paragraph, points, code, table, formula], [16, 6, 4, 2, 1], k=chance.randint(1, 7))
        yield "\n\n".join([f"## Answer {number}", *(part(chance) for part in parts)])


def sentence(chance: Random) -> str:
    words = chance.choices(["we", "a", "the", "reply", "window", "message", "until"], k=chance.randint(5, 20))
    return " ".join(words).strip().capitalize() + f" {chance.randint(0, 10**6)}."


def paragraph(chance: Random) -> str:
    return " ".join(sentence(chance) for _ in range(chance.randint(2, 5))) + f" **{sentence(chance)}**"


def points(chance: Random) -> str:
    return "\n".join(f"- *Point*: {sentence(chance)}" for _ in range(chance.randint(3, 6)))


def code(chance: Random) -> str:
    lines = [f'    value = call("{sentence(chance)}")  # {chance.random()}' for _ in range(chance.randint(3, 20))]
    return "\n".join(["```python", "def answer():", *lines, "```"])


def table(chance: Random) -> str:
    rows = [f"| name | {chance.random():.3f} | {sentence(chance)} |" for _ in range(chance.randint(2, 8))]
    return "\n".join(["| name | value | note |", "| --- | --- | --- |", *rows])


def formula(chance: Random) -> str:
    return f"$$\\sum_{{i=1}}^{{{chance.randint(2, 99)}}} \\frac{{x_i^2}}{{\\sqrt{{{chance.randint(2, 99)}}}}}$$"


def show(figures: dict[str, list[float]]) -> None:
    print("| | median | worst |\n| --- | --- | --- |")  # noqa: T201
    for name, values in figures.items():
        digits = 1 if name.endswith((" s", "kB")) else 0
        print(f"| {name} | {median(values):.{digits}f} | {max(values):.{digits}f} |")  # noqa: T201


if __name__ == "__main__":
    main()
