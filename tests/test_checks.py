"""System checks name what starts but does not serve."""

from pathlib import Path

import pytest
from django.core.checks import run_checks
from pytest_django import Settings


def ids(deploy: bool = False) -> set[str | None]:
    return {message.id for message in run_checks(tags=["chat"], include_deployment_checks=deploy)}


def test_static_files_that_were_not_collected(settings: Settings, tmp_path: Path) -> None:
    settings.DEBUG = False
    settings.STATIC_ROOT = tmp_path
    assert "chat.W001" in ids()
    (tmp_path / "staticfiles.json").write_text("{}")
    assert "chat.W001" not in ids()


def test_while_developing_nothing_has_to_be_collected(settings: Settings, tmp_path: Path) -> None:
    settings.DEBUG = True
    settings.STATIC_ROOT = tmp_path
    assert "chat.W001" not in ids()


@pytest.mark.parametrize("demo", [True, False])
def test_the_demo_model_is_named_before_a_deployment(settings: Settings, demo: bool) -> None:
    settings.CHAT_DEMO = demo
    assert ("chat.W002" in ids(deploy=True)) == demo
    assert "chat.W002" not in ids()


@pytest.mark.parametrize(("most", "warned"), [(121_000, False), (120_999, True)])
def test_the_longest_question_fits_into_a_request(settings: Settings, most: int, warned: bool) -> None:
    settings.CHAT_QUESTION_CHARS = 10_000
    settings.CHAT_BODY_BYTES = most
    assert ("chat.W003" in ids()) == warned
