"""What makes each test in a browser fail."""

import pytest
from playwright.sync_api import Page

from tests.browser.conftest import NewContext, Watch


@pytest.fixture
def page(new_context: NewContext) -> Page:
    return new_context().new_page()


@pytest.mark.parametrize("host", ["elsewhere.example", "192.0.2.1", "localhost"])
@pytest.mark.parametrize(
    "request_",
    ["fetch(url).catch(() => {})", "new Image().src = url", "navigator.sendBeacon(url)", "new EventSource(url)"],
    ids=["fetch", "image", "beacon", "stream"],
)
def test_no_other_host_is_asked(page: Page, watch: Watch, host: str, request_: str) -> None:
    with page.expect_console_message():
        page.evaluate(f"const url = 'http://{host}/'; {request_}; undefined")
    assert [fault for fault in watch.faults if "ERR_NAME_NOT_RESOLVED" in fault]
    watch.expect("ERR_NAME_NOT_RESOLVED")
