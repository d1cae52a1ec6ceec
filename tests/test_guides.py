"""What the documents say of the code is so."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings

ROOT: Path = settings.BASE_DIR
DOCUMENTS = [
    *("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "static/vendor/README.md"),
    *(str(path.relative_to(ROOT)) for path in sorted((ROOT / "docs").rglob("*.md"))),
]
DECISIONS = sorted(path for path in (ROOT / "docs/decisions").glob("[0-9]*.md"))
READ_BY_PEOPLE = [
    *map(Path, DOCUMENTS),
    *(path.relative_to(ROOT) for folder in ("templates", "static/js") for path in sorted((ROOT / folder).rglob("*.*"))),
    Path("chat/sentences.py"),
]
# What reads as if translated, instead of: must, again, instead of, no longer, this many, continue, people who.
TRANSLATED = re.compile(
    r"\bshall\b|\banew\b|\bin the place of\b|\b(?:not?|none) (?:any ?more)\b|\bso many\b|\bgo(?:es|ne|ing)? on\b"
    r"|(?:^|[.:] )Who (?:has|is|wants|reads)\b"
)
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()

LINK = re.compile(r"\]\(([^)\s]+)\)|(?:src|srcset)=\"([^\"]+)\"")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
CODE = re.compile(r"`([^`\n]+)`")
PATH = re.compile(r"(chat|config|docs|requirements|static|templates|tests)/[\w./-]*|[\w.-]+\.(example|md|py|toml)")


def anchors(text: str) -> set[str]:
    """The fragments under which the headings of a document are reached."""
    headings = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in HEADING.findall(text)]
    return {f"#{heading.replace(' ', '-')}" for heading in headings}


def links(document: str) -> Iterator[str]:
    """Where a document's links and pictures lead, but for other sites."""
    for link, picture in LINK.findall((ROOT / document).read_text()):
        if not (link or picture).startswith("https://"):
            yield link or picture


def leads_somewhere(here: Path, link: str) -> bool:
    name, _, fragment = link.partition("#")
    target = here.parent / name if name else here
    return target.exists() and (not fragment or f"#{fragment}" in anchors(target.read_text()))


def paths(text: str) -> set[str]:
    """The code in a text that is the name of a file or a folder."""
    return {code for code in CODE.findall(text) if PATH.fullmatch(code)}


def dependencies(file: Path) -> list[str]:
    return [line for line in file.read_text().splitlines() if line and not line.startswith(("-", "#"))]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_link_leads_to_a_file_or_a_heading(document: str) -> None:
    here = ROOT / document
    assert [link for link in links(document) if not leads_somewhere(here, link)] == []


def test_the_readme_shows_the_product_in_light_and_dark() -> None:
    pictures = [link for link in links("README.md") if link.endswith(".png")]
    assert {"docs/screenshots/conversation-light.png", "docs/screenshots/conversation-dark.png"} <= set(pictures)
    assert all((ROOT / picture).stat().st_size < 200_000 for picture in pictures)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_file_that_is_named_exists(document: str) -> None:
    named = paths((ROOT / document).read_text())
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []


def test_the_changelog_has_a_section_for_the_version() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text()
    assert re.search(rf"^## \[{re.escape(settings.VERSION)}\] - \d{{4}}-\d\d-\d\d$", changelog, re.MULTILINE)


def test_the_readme_names_files() -> None:
    assert len(paths((ROOT / "README.md").read_text())) > 3


@pytest.mark.parametrize("decision", DECISIONS, ids=lambda path: path.name)
def test_a_decision_is_half_a_page_and_in_the_list(decision: Path) -> None:
    text = decision.read_text()
    assert text.startswith(f"# {int(decision.name[:4])}. ")
    assert len(text.split()) <= 350
    assert f"({decision.name})" in (ROOT / "docs/decisions/README.md").read_text()


def test_decisions_have_numbers_of_their_own() -> None:
    numbers = [path.name[:4] for path in DECISIONS]
    assert numbers == sorted(set(numbers))


@pytest.mark.parametrize("text", READ_BY_PEOPLE, ids=str)
def test_plain_english(text: Path) -> None:
    assert TRANSLATED.findall((ROOT / text).read_text()) == []


@pytest.mark.parametrize("name", ["base", "dev", "prod"])
def test_each_dependency_is_explained(name: str) -> None:
    explained = re.findall(r"^- `([^`]+)`: .+", CONTRIBUTING, re.MULTILINE)
    assert [line for line in dependencies(ROOT / f"requirements/{name}.in") if line not in explained] == []


def test_each_npm_package_is_explained() -> None:
    explained = re.findall(r"^- `([^`]+)`: .+", CONTRIBUTING, re.MULTILINE)
    packages = json.loads((ROOT / "requirements/package.json").read_text())["devDependencies"]
    assert [name for name in packages if name not in explained] == []


def test_each_vendored_library_is_explained() -> None:
    explained = re.findall(r"^- `([^`]+)`: .+", CONTRIBUTING, re.MULTILINE)
    folders = [path.name for path in (ROOT / "static/vendor").iterdir() if path.is_dir()]
    assert folders
    assert [name for name in folders if name not in explained] == []


def test_the_map_names_every_module() -> None:
    drawn = CONTRIBUTING.partition("## The map")[2].partition("Imports point one way")[0]
    modules = [path.name for folder in ("chat", "config") for path in (ROOT / folder).glob("*.py")]
    assert [name for name in modules if name not in drawn and name not in ("__init__.py", "apps.py")] == []
