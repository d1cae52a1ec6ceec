"""Errors in words."""

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


@pytest.mark.parametrize("error", [plan.INTERRUPTED, plan.LOST, generation.BROKEN, Error("deleted")])
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
    assert sentence == f"The model isn't available right now. Retry in {duration}."


def test_a_wait_that_is_no_number_is_ignored() -> None:
    assert sentences.of(Error("busy", {"retry_after": "soon"})) == sentences.of(Error("busy"))
