"""The static files that are collected."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.core.files.storage import FileSystemStorage
from pygments.lexers import JavascriptLexer
from pygments.token import Comment, Text, Whitespace

from config.server.staticfiles import MINIFIERS, Minified

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
