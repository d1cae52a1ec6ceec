"""Real browsers for tests: Chromium in front of a real server, and a watch over what its pages do."""

import shlex
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, Protocol

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Dialog, Page, WebError, expect
from pytest_playwright import CreateContextCallback

from tests.browser.pages import store
from tests.nginx import HOST, key_digest
from tests.programs import program
from tests.server import Databases, Server, Servers, SharedServers
from tests.upstream import Upstream

# A busy machine is slow.
expect.set_options(timeout=30_000)

# Without some of these Chromium contacts its makers, for updates for example. Others spare its processes: with one for
# graphics, and new ones for each page, the tests need an eighth more CPU. Hosts that are not the tests' are not found,
# which shows in the console: to look at each request in Python took a tenth of the CPU.
CHROMIUM = f"""
    --no-sandbox --no-first-run --disable-background-networking --disable-component-update --disable-sync --disable-quic
    --in-process-gpu --disable-gpu --renderer-process-limit=1
    --host-resolver-rules="MAP {HOST} 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
"""
KEY = "sk-secret"

type NewContext = Callable[..., BrowserContext]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run browsers last: Playwright's event loop runs until the session ends and excludes any other in its thread."""
    items.sort(key=lambda item: item.get_closest_marker("chromium") is not None)


@pytest.fixture(scope="session")
def base_url() -> None:
    """Replaces the plugin's fixture, which raises a warning. Addresses come from the servers."""


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    # To ignore that nobody knows the authority would not do: Chromium keeps no file that comes with such a certificate.
    arguments = [*shlex.split(CHROMIUM), f"--ignore-certificate-errors-spki-list={key_digest()}"]
    return {**browser_type_launch_args, "executable_path": program("chromium"), "args": arguments}


@pytest.fixture(scope="session")
def browser_context_args(browser_context_args: dict[str, Any]) -> dict[str, Any]:
    # To draw what pulses while a reply is written took a sixteenth of the CPU.
    return {**browser_context_args, "reduced_motion": "reduce"}


# The watch


class Watch:
    """Records what no page may do: errors, among them requests to other hosts, violations of the policy, dialogs."""

    def __init__(self) -> None:
        # Browsers request it when a page names no icon.
        self._expected = ["/favicon.ico"]
        self._faults: list[str] = []

    def expect(self, *parts: str) -> None:
        """Ignore errors in the console that contain one of these."""
        self._expected += parts

    @property
    def faults(self) -> list[str]:
        return [fault for fault in self._faults if not any(part in fault for part in self._expected)]

    def begin(self, context: BrowserContext) -> None:
        for event, record in self._records.items():
            context.on(event, record)  # type: ignore[call-overload]

    def end(self, context: BrowserContext) -> None:
        for event, record in self._records.items():
            context.remove_listener(event, record)

    @property
    def _records(self) -> dict[str, Callable[[Any], None]]:
        return {"console": self._console, "weberror": self._error, "dialog": self._dialog}

    def _console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self._faults.append(f"console: {message.text} ({message.location['url']})")

    def _error(self, error: WebError) -> None:
        self._faults.append(f"error: {error.error}")

    def _dialog(self, dialog: Dialog) -> None:
        self._faults.append(f"dialog: {dialog.message}")
        dialog.dismiss()


@pytest.fixture
def watch() -> Iterator[Watch]:
    """Fails the test if its pages do what no page may do."""
    watch = Watch()
    yield watch
    assert watch.faults == []


@pytest.fixture
def new_context(new_context: CreateContextCallback, watch: Watch, start_server: Servers) -> NewContext:
    """Makes watched contexts. The plugin's own `context` and `page` use it too.

    They close before the servers end that the test starts.
    """

    def watched(**options: Any) -> BrowserContext:
        context = new_context(**options)
        watch.begin(context)
        return context

    return watched


# Servers and people. Tests share servers, of which each test finds one as if nobody had used it.


@pytest.fixture(scope="session")
def endpoint() -> Iterator[Upstream]:
    """The endpoint of all servers."""
    with Upstream() as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def share_server(databases: Databases, collected_static: None, endpoint: Upstream) -> Iterator[SharedServers]:
    """Gives all tests that ask for the same settings the same server."""
    with Servers(databases) as servers:
        yield SharedServers(servers)
        # Servers let their replies end before they stop; those that hang would keep them.
        endpoint.stop()


@pytest.fixture(scope="module")
def settings_of_server() -> dict[str, str]:
    """What the server of a module has been set to beside the usual."""
    return {}


@pytest.fixture(scope="module")
def server(share_server: SharedServers, endpoint: Upstream, settings_of_server: dict[str, str]) -> Server:
    """A real server as in production, in front of the scripted endpoint."""
    usual = {"DEBUG": "0", "OPENAI_BASE_URL": endpoint.url, "OPENAI_API_KEY": KEY, "OPENAI_MODEL": "scripted"}
    return share_server(**usual | settings_of_server)


class Visit(Protocol):
    def __call__(self, username: str = "", **options: Any) -> Page: ...


@pytest.fixture(scope="module")
def context_options(server: Server) -> dict[str, Any]:
    return {"base_url": server.url}


@pytest.fixture(scope="session")
def keep_context(browser: Browser, browser_context_args: dict[str, Any]) -> NewContext:
    """Contexts that tests use in turn, so that each fetches and compiles the scripts of pages once."""

    @cache
    def keep(**options: Any) -> BrowserContext:
        return browser.new_context(**browser_context_args, **options)

    return keep


@pytest.fixture
def first_context(
    keep_context: NewContext, context_options: dict[str, Any], watch: Watch, start_server: Servers
) -> Iterator[BrowserContext]:
    """A kept one, as if it were new; but `visit` empties its storage."""
    kept_context = keep_context(**context_options)
    kept_context.set_offline(False)
    kept_context.clear_cookies()
    kept_context.clear_permissions()
    watch.begin(kept_context)
    yield kept_context
    for page in kept_context.pages:
        page.close()
    watch.end(kept_context)


@pytest.fixture
def visit(
    server: Server, new_context: NewContext, context_options: dict[str, Any], first_context: BrowserContext
) -> Visit:
    """Opens a browser for a person, who is signed in if named: `visit("bob", color_scheme="dark")`."""
    server.as_new()
    fresh = [first_context]

    def visit(username: str = "", **options: Any) -> Page:
        context = fresh.pop() if fresh and not options else new_context(**context_options | options)
        if username:
            value = server.session_cookie(username)
            name = "__Host-sessionid" if server.url.startswith("https:") else "sessionid"
            context.add_cookies([{"name": name, "value": value, "url": server.url}])
        page = context.new_page()
        if context is first_context:
            empty_storage(page, server.url)
        return page

    return visit


def empty_storage(page: Page, origin: str) -> None:
    """Remove what earlier tests have stored there.

    Playwright's own `set_storage_state` does it by visiting each origin, which takes 70 ms.
    """
    session = page.context.new_cdp_session(page)
    session.send("Storage.clearDataForOrigin", {"origin": origin, "storageTypes": "local_storage"})
    session.detach()


@pytest.fixture
def alice(visit: Visit, upstream: Upstream) -> Page:
    """Alice's browser; she is signed in and has no conversation yet."""
    page = visit("alice")
    page.goto("/")
    return page


class Show(Protocol):
    def __call__(self, *texts: str) -> Page: ...


@pytest.fixture
def show(visit: Visit, server: Server, upstream: Upstream) -> Show:
    """Opens Alice's browser where these questions and answers are stored: `show("Hello?", "Hello!")`."""

    def show(*texts: str) -> Page:
        page = visit("alice")
        page.goto(store(server, *texts))
        return page

    return show


@pytest.fixture
def clocked(visit: Visit, server: Server, upstream: Upstream) -> Page:
    """Alice's browser, for a test that sets its clock: that of the kept context would stay so."""
    page = visit("alice", base_url=server.url)
    page.goto("/")
    return page
