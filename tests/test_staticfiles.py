"""The static files that are collected."""

import gzip
from collections.abc import Callable, Iterator
from pathlib import Path

import brotli
import pytest
from django.conf import settings
from django.core.files.storage import FileSystemStorage
from django.http import HttpRequest, HttpResponse
from django.test import AsyncRequestFactory
from pygments.lexers import JavascriptLexer
from pygments.token import Comment, Text, Whitespace
from pytest_django import Settings

from config.server.staticfiles import MINIFIERS, HashedStaticFilesStorage, Minified, StaticFilesMiddleware

STATIC = Path(settings.BASE_DIR, "static")
SCRIPTS, STYLES = sorted(STATIC.glob("js/*.js")), sorted(STATIC.glob("css/*.css"))


def code(script: str) -> Iterator[str]:
    for kind, text in JavascriptLexer().get_tokens(script):
        if kind not in Comment and (kind not in Text or text.strip()) and kind not in Whitespace:
            yield text


def minified(path: Path) -> str:
    minify = MINIFIERS[f"{path.parent.name}/"]
    file = Minified(FileSystemStorage(path.parent), minify).open(path.name)
    return str(file.read(), "utf-8")


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_a_minified_script_has_the_same_code(path: Path) -> None:
    script = minified(path)
    assert "".join(code(script)) == "".join(code(path.read_text()))
    assert len(script) < path.stat().st_size


@pytest.mark.process
def test_only_our_own_files_are_minified(collected_static: None) -> None:
    collected = Path(settings.STATIC_ROOT)
    (style,) = collected.glob("css/tokens.????????????.css")
    assert "/*" not in style.read_text()
    (ours,) = collected.glob("js/markup.????????????.js")
    (theirs,) = collected.glob("vendor/markdown-it/markdown-it.????????????.js")
    assert "//" not in ours.read_text().replace("://", "")
    assert "//#region" in theirs.read_text()


@pytest.fixture
def collected(settings: Settings, tmp_path: Path) -> str:
    """The name of a style that alone has been collected."""
    settings.STATIC_ROOT, settings.WHITENOISE_AUTOREFRESH = tmp_path, False
    storage = HashedStaticFilesStorage(location=tmp_path)
    sources = {"css/chat.css": (FileSystemStorage(STATIC), "css/chat.css")}
    # The compressed forms come last.
    list(storage.post_process(sources))
    return storage.stored_name("css/chat.css")


@pytest.mark.parametrize(
    ("accepted", "encoding", "read"),
    [
        ("gzip, deflate, br, zstd", "br", brotli.decompress),
        ("gzip, deflate", "gzip", gzip.decompress),
        ("", None, bytes),
    ],
)
async def test_a_browser_gets_the_smallest_form_that_it_can_read(
    collected: str, accepted: str, encoding: str | None, read: Callable[[bytes], bytes]
) -> None:
    answer = await served(collected, accepted)
    assert answer.headers.get("Content-Encoding") == encoding
    assert answer.headers["Vary"] == "Accept-Encoding"
    assert read(answer.content) == minified(STATIC / "css/chat.css").encode()


async def served(name: str, accepted: str) -> HttpResponse:
    async def nowhere(request: HttpRequest) -> HttpResponse:
        raise AssertionError(request.path)

    request = AsyncRequestFactory().get(f"/static/{name}", headers={"Accept-Encoding": accepted})
    answer = await StaticFilesMiddleware(nowhere)(request)
    assert isinstance(answer, HttpResponse)
    return answer
