"""Imports point one way. CONTRIBUTING.md says why; this says which."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings

ROOT: Path = settings.BASE_DIR

# What a module of chat may import from chat. A package's rule covers its modules, unless they have one of their own.
ALLOWED: dict[str, set[str]] = {
    "accounts": {"models", "security_log"},
    "admin": {"admin", "models", "sentences", "live", "markdown", "search", "security_log"},
    "apps": {"checks", "database", "security_log"},
    "checks": set(),
    "completions": {"completions", "sse", "events"},
    "database": {"postgresql"},
    "demo": {"completions", "events"},
    "events": set(),
    "forms": {"models"},
    "generation": {"models", "sentences", "completions", "demo", "replylog", "events", "database", "metrics"},
    "live": {"models", "replylog"},
    "logs": set(),
    "management": {"models"},
    "markdown": set(),
    "metrics": set(),
    "migrations": {"models"},
    "models": {"models", "events"},
    "postgresql": set(),
    "replylog": {"replylog", "events", "metrics"},
    "replylog.database": {"replylog", "events", "models", "database"},
    "replylog.redis": {"replylog", "events", "database"},
    "search": {"models", "database"},
    "security_log": {"models"},
    "sentences": {"events"},
    "sse": set(),
    "templatetags": {"markdown"},
    "templatetags.sentences": {"sentences", "events"},
    "urls": {"views"},
    "worker": {"generation", "replylog", "models", "database", "metrics"},
    "views": {
        "views",
        "forms",
        "worker",
        "live",
        "replylog",
        "sentences",
        "sse",
        "events",
        "markdown",
        "metrics",
        "search",
        "security_log",
        "models",
        "database",
    },
}

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
    """The rule for a module: its own, or that of the nearest package around it."""
    name = path.with_suffix("").as_posix().removeprefix("chat/").replace("/", ".")
    while name not in ALLOWED:
        assert "." in name, f"{path} has no place among the layers yet"
        name = name.rpartition(".")[0]
    return ALLOWED[name]


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_a_module_imports_only_what_is_below_it(path: Path) -> None:
    imported = {name.split(".")[1] for name in imports(path) if name.startswith("chat.")}
    assert imported <= rule(path)


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_nothing_in_chat_imports_config(path: Path) -> None:
    assert not [name for name in imports(path) if name.split(".")[0] == "config"]


def test_sse_needs_only_the_standard_library() -> None:
    assert {name.split(".")[0] for name in imports(Path("chat/sse.py"))} <= sys.stdlib_module_names
