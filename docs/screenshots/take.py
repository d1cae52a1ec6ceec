"""Takes the pictures of the docs: `python docs/screenshots/take.py`, from a server of its own with the demo model."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import Page, ViewportSize, expect, sync_playwright

HERE = Path(__file__).parent
SIZE = ViewportSize(width=1280, height=800)
QUESTIONS = [
    "Which tests should a release wait for?",
    "Summarise the notes of Monday's meeting",
    "A regular expression for dates like 2026-11-20",
    "Rewrite this paragraph for people who do not know SQL",
    "What is a lease, and why does it run out?",
]
LAST_QUESTION = "Show me what a reply can look like."
LABELLED = QUESTIONS[:2]
# Found in a title, in a question and in the demo's answers.
WORDS = "reply"
# The demo's answer has then come to the end of its table; the question is still on screen.
MIDDLE = "you can retry"
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")


@contextmanager
def server() -> Iterator[str]:
    """Parley on a database of its own, with the login demo/demo; yields its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    with TemporaryDirectory() as folder:
        process = subprocess.Popen(  # noqa: S603
            [sys.executable, "manage.py", "start", "--port", port],
            cwd=HERE.parent.parent,
            env={
                "PATH": os.environ["PATH"],
                "ENV_FILE": os.devnull,
                "DEBUG": "1",
                "SECRET_KEY": "for-pictures-only",
                "DATABASE_URL": f"sqlite:///{folder}/pictures.sqlite3",
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            assert process.stdout  # noqa: S101
            next(line for line in process.stdout if "Listening on TCP address" in line)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()
            process.communicate()


def ask(page: Page, question: str) -> None:
    page.get_by_role("link", name="New conversation").click()
    page.get_by_label("Your question").fill(question)
    page.get_by_role("button", name="Send", exact=True).click()
    expect(page.locator("[data-role=user]")).to_contain_text(question)


def take(page: Page, name: str) -> None:
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        # Colours change slowly in the administration.
        page.screenshot(path=HERE / f"{name}-{scheme}.png", animations="disabled")


def people(page: Page) -> None:
    """What people have for their conversations: labels, several at once, the search."""
    # At its end.
    page.goto(page.url)
    select = page.get_by_role("link", name="Select", exact=True)
    select.click()
    for title in LABELLED:
        page.get_by_role("checkbox", name=f"Select “{title}”").check()
    page.get_by_role("button", name="Labels…").click()
    page.get_by_label("New label").fill("Work")
    page.get_by_role("button", name="Give").click()
    expect(page.locator(".history__labels")).to_have_count(len(LABELLED))
    page.get_by_role("button", name="Pin", exact=True).click()
    expect(page.get_by_role("heading", name="Pinned")).to_be_visible()
    select.click()
    for title in LABELLED:
        page.get_by_role("checkbox", name=f"Select “{title}”").check()
    take(page, "selecting")
    page.get_by_role("button", name="Done").click()
    page.goto(f"/search/?q={WORDS}")
    expect(page.locator(".result").first).to_be_visible()
    take(page, "search")


def pictures(page: Page) -> None:
    page.goto("/")
    page.get_by_label("Username or email").fill("demo")
    page.get_by_label("Password", exact=True).fill("demo")
    page.get_by_role("button", name="Sign in").click()
    for question in QUESTIONS:
        ask(page, question)
    ask(page, LAST_QUESTION)
    answer = page.locator("[data-role=assistant]")
    expect(answer).to_contain_text(MIDDLE, timeout=60_000)
    take(page, "conversation")
    expect(answer).to_have_attribute("data-status", "complete", timeout=60_000)
    people(page)
    page.goto("/admin/chat/conversation/")
    take(page, "list")
    page.get_by_role("link", name=LAST_QUESTION).click()
    expect(page.locator("[data-role=assistant]")).to_be_visible()
    take(page, "transcript")
    queue(page)
    page.goto("/admin/chat/auditrecord/")
    take(page, "record")


def queue(page: Page) -> None:
    """Make a queue, put the conversation on screen into it, and review it."""
    transcript = page.url
    page.goto("/admin/chat/reviewqueue/add/")
    page.get_by_label("Name").fill("Answers about releases")
    page.get_by_label("Instructions").fill("Mark an answer as correct only if somebody could act on it.")
    page.get_by_label("Rubric").fill("Correct: yes, partly, no\nTone: 1-5\nComment: text")
    page.get_by_role("button", name="Save", exact=True).click()
    page.goto(transcript)
    page.get_by_role("button", name="Put into this queue").click()
    page.goto("/admin/chat/reviewqueue/")
    take(page, "queues")
    page.get_by_role("button", name="Review the next").click()
    page.get_by_role("radio", name="partly").check()
    take(page, "queue")
    page.goto("/admin/chat/reviewqueue/")
    page.get_by_role("link", name="Set a rule").click()
    page.get_by_label("Status of any reply").select_option("complete")
    page.get_by_role("button", name="Preview").click()
    expect(page.get_by_role("status")).to_be_visible()
    take(page, "rule")


def main() -> None:
    with server() as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        pictures(browser.new_page(base_url=url, viewport=SIZE))
        browser.close()


if __name__ == "__main__":
    main()
