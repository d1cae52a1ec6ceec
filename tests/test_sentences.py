"""What people read: errors in words, and sentences that can be translated."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings

from chat import generation, plan, sentences
from chat.completions import CompletionError, errors
from chat.events import Error

README = (settings.BASE_DIR / "README.md").read_text()
SETTINGS = ("OPENAI_", "CHAT_", "URL", "_KEY")


def codes(kind: type[CompletionError] = CompletionError) -> set[str]:
    return {kind.code}.union(*(codes(narrower) for narrower in kind.__subclasses__()))


@pytest.mark.parametrize("code", sorted(codes(CompletionError) - {CompletionError.code}))
def test_every_error_of_an_endpoint_has_its_own_sentence(code: str) -> None:
    assert sentences.of(Error(code)) != sentences.of(Error("from a newer version"))
    assert f"`{code}`" in README


@pytest.mark.parametrize(
    "error", [plan.INTERRUPTED, plan.LOST, generation.BROKEN, generation.STORAGE_FAILED, Error("deleted")]
)
def test_every_error_of_the_server_has_its_own_sentence(error: Error) -> None:
    assert sentences.of(error) != sentences.of(Error("from a newer version"))
    assert f"`{error.code}`" in README


@pytest.mark.parametrize("code", [*sorted(codes()), "from a newer version", ""])
def test_sentences_name_no_settings(code: str) -> None:
    sentence = sentences.of(Error(code, {"unknown": "param"}))
    assert sentence.endswith(".")
    assert not [name for name in SETTINGS if name in sentence]


def test_staff_read_the_code_and_the_settings_to_check() -> None:
    error = Error(errors.Unauthorized.code)
    assert sentences.for_staff(error) == f"unauthorized: {sentences.of(error)} Check OPENAI_API_KEY."
    assert sentences.for_staff(Error("cut_off")) == f"cut_off: {sentences.of(Error('cut_off'))}"


@pytest.mark.parametrize(
    ("seconds", "duration"),
    [(1, "1 second"), (119, "119 seconds"), (120, "2 minutes"), (3600, "60 minutes"), (86_400, "24 hours")],
)
def test_a_wait_is_told_in_a_fitting_unit(seconds: int, duration: str) -> None:
    sentence = sentences.of(Error("busy", {"retry_after": seconds}))
    assert sentence == f"The model isn't available right now. Try again in {duration}."


def test_a_wait_that_is_no_number_is_ignored() -> None:
    assert sentences.of(Error("busy", {"retry_after": "soon"})) == sentences.of(Error("busy"))


# The modules whose sentences people read. Log lines, system checks and commands are for operators, and stay English.
SPOKEN = [
    *(settings.BASE_DIR / "chat" / "views").glob("*.py"),
    *(settings.BASE_DIR / "chat" / "admin").glob("*.py"),
    *(settings.BASE_DIR / "chat" / name for name in ("accounts.py", "forms.py", "rendering.py", "sentences.py")),
]
MARKS = {"_", "gettext", "ngettext"}
FOR_OPERATORS = {"error", "exception", "info", "log", "warning", "write"}


def unmarked(node: ast.AST) -> Iterator[str]:
    """The sentences below a node that gettext does not see: texts that begin with a capital and hold a space."""
    if isinstance(node, ast.Call):
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name in MARKS | FOR_OPERATORS:
            return
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return  # A docstring.
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        if node.value[:1].isupper() and " " in node.value.strip() and not node.value.isupper():
            yield node.value
        return
    for child in ast.iter_child_nodes(node):
        yield from unmarked(child)


@pytest.mark.parametrize("path", SPOKEN, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_every_sentence_can_be_translated(path: Path) -> None:
    assert not [*unmarked(ast.parse(path.read_text()))]


def test_no_sentence_is_put_together_before_it_is_translated() -> None:
    for path in SPOKEN:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in MARKS:
                assert all(isinstance(text, ast.Constant) for text in node.args[:1]), path
