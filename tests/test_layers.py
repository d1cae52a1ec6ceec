"""Imports point one way. CONTRIBUTING.md says why; this says which."""

import ast
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings

ROOT: Path = settings.BASE_DIR

# What a module of chat may import from chat. A package's rule covers its modules, unless they have one of their own.
ALLOWED: dict[str, set[str]] = {
    "account_forms": set(),
    "accounts": {"audit", "models", "security_log"},
    "admin": {
        "admin",
        "audit",
        "conditions",
        "database",
        "days",
        "documents",
        "exports",
        "forms",
        "live",
        "models",
        "process",
        "rubric",
        "rules",
        "search",
        "sentences",
        "spreadsheets",
        "views",
    },
    "apps": {"audit", "checks", "database", "search"},
    "asking": {"compiled", "limits", "models"},
    "audit": {"audit", "models", "security_log"},
    "catalog": {"completions", "demo", "models"},
    "changes": {"database", "models", "tasks"},
    "checks": set(),
    "compiled": set(),
    "completions": {"completions", "events", "sse"},
    "conditions": {"models"},
    "database": {"postgresql", "tasks"},
    "days": set(),
    "demo": {"completions", "events"},
    "documents": {"models", "sentences"},
    "events": set(),
    "exporting": {"database", "exports", "models"},
    "exports": {"audit", "documents", "models", "spreadsheets"},
    "forms": {"models"},
    "footnotes": set(),
    "formulas": {"utf16"},
    "generation": {
        "catalog",
        "completions",
        "database",
        "events",
        "live",
        "metrics",
        "models",
        "plan",
        "replylog",
        "sentences",
        "tasks",
    },
    "jobs": {"database", "models", "tasks"},
    "lease": {"database", "models"},
    "limits": {"models"},
    "links": set(),
    "live": {"events", "models", "replylog"},
    "logs": set(),
    "management": {"audit", "models", "search", "trash"},
    "markdown": {"footnotes", "formulas", "links", "utf16"},
    "metrics": set(),
    "migrations": {"models"},
    "models": {"compiled", "days", "events", "models", "words"},
    "plan": {"events"},
    "postgresql": set(),
    "process": {
        "asking",
        "catalog",
        "changes",
        "database",
        "exporting",
        "generation",
        "jobs",
        "lease",
        "limits",
        "metrics",
        "models",
        "queued",
        "rendering",
        "replylog",
        "rules",
        "sessions",
        "shares",
        "tasks",
        "temporary",
        "titling",
        "trash",
    },
    "queued": {"asking", "limits", "models"},
    "questions": {"markdown", "utf16"},
    "rendering": {"markdown", "models", "questions"},
    "replylog": {"database", "events", "metrics", "models", "replylog", "tasks"},
    "rubric": set(),
    "rules": {"conditions", "models"},
    "search": {"database", "models", "search", "words"},
    "security_log": {"models"},
    "sentences": {"events"},
    "sessions": {"compiled", "database", "models", "tasks"},
    "shares": {"limits", "models"},
    "spreadsheets": set(),
    "sse": set(),
    "tasks": set(),
    "temporary": {"database", "models"},
    "trash": {"audit", "database", "models"},
    "templatetags": {"events", "sentences"},
    "titles": {"models"},
    "titling": {"catalog", "completions", "database", "events", "jobs", "models", "sentences", "titles"},
    "urls": {"views"},
    "utf16": set(),
    "views": {
        "asking",
        "changes",
        "database",
        "days",
        "documents",
        "events",
        "forms",
        "limits",
        "live",
        "metrics",
        "models",
        "process",
        "queued",
        "replylog",
        "search",
        "security_log",
        "sentences",
        "sse",
        "temporary",
        "trash",
        "views",
    },
    "words": set(),
}

# Django loads these, which the diagram in CONTRIBUTING leaves out.
LOADED_BY_NAME = {"apps", "checks", "logs", "migrations"}

# What several views need. The others have addresses, and do not import each other.
SHARED_BY_VIEWS = {"admission", "blocks", "history", "hits", "pages", "problems", "shelf", "stream"}

MODULES = sorted(path.relative_to(ROOT) for path in (ROOT / "chat").rglob("*.py") if path.stat().st_size)


def imports(path: Path) -> Iterator[str]:
    """The dotted names that a module imports anywhere: at its top, inside functions, for its types."""
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} imports relatively"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def rule(path: Path) -> set[str]:
    return ALLOWED[name_of_rule(path)]


def name_of_rule(path: Path) -> str:
    """The module itself, or the nearest package around it that has a rule."""
    name = path.with_suffix("").as_posix().removeprefix("chat/").replace("/", ".")
    while name not in ALLOWED:
        assert "." in name, f"{path} has no place among the layers yet"
        name = name.rpartition(".")[0]
    return name


def imported(path: Path) -> set[str]:
    return {name.split(".")[1] for name in imports(path) if name.startswith("chat.")}


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_a_module_imports_only_what_is_below_it(path: Path) -> None:
    assert imported(path) <= rule(path)


def test_no_permission_goes_unused() -> None:
    used: dict[str, set[str]] = defaultdict(set)
    for path in MODULES:
        used[name_of_rule(path)] |= imported(path)
    assert used == ALLOWED


def test_views_do_not_import_views() -> None:
    used = {name for path in MODULES if path.is_relative_to("chat/views") for name in imports(path)}
    assert {name.split(".")[2] for name in used if name.startswith("chat.views.")} == SHARED_BY_VIEWS


def test_imports_point_down_the_diagram() -> None:
    contributing = (ROOT / "CONTRIBUTING.md").read_text()
    diagram = contributing.partition("Imports point one way, down")[2].partition("\n## ")[0]
    lines = "".join(re.findall(r"^    (.+)$", diagram, re.MULTILINE)).split("▼")
    depth = {name: line for line, names in enumerate(lines) for name in re.findall(r"\w+", names)}
    assert depth.keys() | LOADED_BY_NAME == ALLOWED.keys()
    assert not [(name, other) for name in depth for other in ALLOWED[name] - {name} if depth[other] <= depth[name]]


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_nothing_in_chat_imports_config(path: Path) -> None:
    assert not [name for name in imports(path) if name.split(".")[0] == "config"]


def test_sse_needs_only_the_standard_library() -> None:
    assert {name.split(".")[0] for name in imports(Path("chat/sse.py"))} <= sys.stdlib_module_names
