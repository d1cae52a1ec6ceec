"""System checks warn about settings that serve people badly."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.checks import run_checks
from pytest_django import Settings


def ids(deploy: bool = False) -> set[str | None]:
    return {message.id for message in run_checks(tags=["chat"], include_deployment_checks=deploy)}


def test_uncollected_static_files_are_reported(settings: Settings, tmp_path: Path) -> None:
    settings.DEBUG = False
    settings.STATIC_ROOT = tmp_path
    assert "chat.W001" in ids()
    (tmp_path / "staticfiles.json").write_text("{}")
    assert "chat.W001" not in ids()


def test_debug_needs_no_collected_files(settings: Settings, tmp_path: Path) -> None:
    settings.DEBUG = True
    settings.STATIC_ROOT = tmp_path
    assert "chat.W001" not in ids()


@pytest.mark.parametrize("demo", [True, False])
def test_the_demo_model_is_reported_before_a_deployment(settings: Settings, demo: bool) -> None:
    settings.CHAT_DEMO = demo
    assert ("chat.W002" in ids(deploy=True)) == demo
    assert "chat.W002" not in ids()


@pytest.mark.parametrize(("most", "warned"), [(121_000, False), (120_999, True)])
def test_a_body_limit_below_the_longest_question_is_reported(settings: Settings, most: int, warned: bool) -> None:
    settings.CHAT_QUESTION_CHARS = 10_000
    settings.CHAT_BODY_BYTES = most
    assert ("chat.W003" in ids()) == warned


# Django's own, before a deployment


def security_ids() -> set[str | None]:
    return {message.id for message in run_checks(tags=["security"], include_deployment_checks=True)}


def test_django_finds_its_middleware() -> None:
    missing = {"security.W001", "security.W002", "security.W003"}
    assert not missing & security_ids()


@pytest.mark.parametrize("https_only", [True, False])
def test_plain_http_is_reported_before_a_deployment(settings: Settings, https_only: bool) -> None:
    settings.SECURE_SSL_REDIRECT = https_only
    settings.SECURE_HSTS_SECONDS = 31_536_000 if https_only else 0
    warned = security_ids()
    assert ("security.W004" in warned, "security.W008" in warned) == (not https_only, not https_only)


@pytest.mark.parametrize("secure", [True, False])
def test_insecure_cookies_are_reported_before_a_deployment(settings: Settings, secure: bool) -> None:
    settings.SESSION_COOKIE_SECURE = settings.CSRF_COOKIE_SECURE = secure
    assert bool({"security.W012", "security.W016"} & security_ids()) != secure


def test_the_readmes_deployment_has_two_warnings() -> None:
    environment = {
        "ENV_FILE": os.devnull,
        "SECRET_KEY": "tests-only-" * 5,
        "DATABASE_URL": "sqlite://:memory:",
        "OPENAI_BASE_URL": "http://127.0.0.1:9/v1",
        "OPENAI_MODEL": "small",
    }
    command = [sys.executable, "manage.py", "check", "--deploy"]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    # Whether the static files have been collected here is another matter.
    assert set(re.findall(r"\((\w+\.W\d+)\)", result.stderr)) - {"chat.W001"} == {"security.W004", "security.W008"}
