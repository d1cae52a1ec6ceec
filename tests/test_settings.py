"""An unusable setting stops the start with its name, and the documents list every setting."""

import ast
import os
import re
import runpy
import subprocess
import sys
from typing import Any
from unittest.mock import patch

import pytest
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

ROOT = settings.BASE_DIR
USABLE = {"ENV_FILE": os.devnull, "SECRET_KEY": "k" * 32}


def load(**environment: str) -> dict[str, Any]:
    """The settings of a process with this environment and nothing else."""
    with patch.dict(os.environ, {**USABLE, **environment}, clear=True):
        return runpy.run_path(str(ROOT / "config/settings.py"))


def settings_of_the_environment() -> set[str]:
    """The names that config/settings.py reads from the environment."""
    tree = ast.parse((ROOT / "config/settings.py").read_text())
    return {
        str(node.args[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "env"
        and isinstance(node.args[0], ast.Constant)
    }


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SECRET_KEY", ""),
        ("SECRET_KEY", "short"),
        ("DEBUG", "maybe"),
        ("CHAT_READ_REASON", "why"),
        ("CHAT_SHOW_READERS", "all"),
        ("AUDIT_KEYS", "2026"),
        ("AUDIT_KEYS", "2026:short"),
        ("AUDIT_KEYS", f"a b:{'k' * 32}"),
        ("AUDIT_KEYS", f"a:{'k' * 32},a:{'l' * 32}"),
        ("SECURE_SSL_REDIRECT", "2"),
        ("SECURE_COOKIES", "ja"),
        ("CHAT_SIGNUP", "open"),
        ("CHAT_METRICS", "prometheus"),
        ("CHAT_TITLES", "some"),
        ("CHAT_LOG_JSON", "pretty"),
        ("CSRF_TRUSTED_ORIGINS", "chat.example.org"),
        ("DATABASE_URL", "mysql://localhost/parley"),
        ("DATABASE_URL", "parley.sqlite3"),
        ("DATABASE_URL", "postgresql://localhost:port/parley"),
        ("DATABASE_POOL", "-1"),
        ("REDIS_URL", "localhost:6379"),
        ("REDIS_URL", "redis://localhost:port"),
        ("EMAIL_URL", "carrier-pigeon://loft"),
        ("OPENAI_BASE_URL", "localhost:11434/v1"),
        ("CHAT_QUESTION_CHARS", "many"),
        ("CHAT_HISTORY_CHARS", "0"),
        ("CHAT_CONNECT_SECONDS", "-1"),
        ("CHAT_FIRST_PIECE_SECONDS", "1.5"),
        ("CHAT_GAP_SECONDS", "soon"),
        ("CHAT_TOTAL_SECONDS", "0"),
        ("CHAT_LEASE_SECONDS", "0"),
        ("CHAT_TRASH_DAYS", "0"),
        ("CHAT_TEMPORARY_HOURS", "-1"),
        ("CHAT_EXPORT_DAYS", "0"),
        ("CHAT_PERSON_RUNNING", "0"),
        ("CHAT_PERSON_STREAMS", "0"),
        ("CHAT_PROCESS_QUEUED", "-1"),
        ("CHAT_BODY_BYTES", "1 MB"),
        ("TIME_ZONE", "Mars/Olympus"),
    ],
)
def test_a_bad_value_stops_the_start_with_its_name(name: str, value: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=name):
        load(**{name: value})


def test_an_endpoint_needs_the_name_of_a_model() -> None:
    with pytest.raises(ImproperlyConfigured, match="OPENAI_MODEL"):
        load(OPENAI_API_KEY="sk-test")


def test_an_error_never_shows_the_value_of_a_secret() -> None:
    with pytest.raises(ImproperlyConfigured) as error:
        load(DATABASE_URL="postgresql://parley:hunter2@localhost:port/parley")
    assert "hunter2" not in str(error.value)


def test_postgresql_is_pooled_unless_switched_off() -> None:
    url = "postgresql://parley@localhost/parley?sslmode=require"
    options = load(DATABASE_URL=url, DATABASE_POOL="7")["DATABASES"]["default"]["OPTIONS"]
    assert (options["pool"]["max_size"], options["sslmode"]) == (7, "require")
    assert "pool" not in load(DATABASE_URL=url, DATABASE_POOL="0")["DATABASES"]["default"]["OPTIONS"]
    assert "pool" not in load()["DATABASES"]["default"]["OPTIONS"]


def test_a_key_without_an_address_means_openai() -> None:
    assert load(OPENAI_API_KEY="sk-test", OPENAI_MODEL="one, two")["OPENAI_MODELS"] == ["one", "two"]
    assert load(OPENAI_API_KEY="sk-test", OPENAI_MODEL="one")["OPENAI_BASE_URL"] == "https://api.openai.com/v1"


def test_without_an_endpoint_the_demo_model_answers() -> None:
    loaded = load()
    assert loaded["CHAT_DEMO"]
    assert loaded["OPENAI_MODELS"] == ["demo"]
    assert not loaded["CHAT_TITLES"]


@pytest.mark.parametrize(
    ("setting", "large", "small"),
    [("", "none", "none"), ("prefix", "prefix", "prefix"), ("assistant, large=none", "none", "assistant")],
)
def test_each_model_continues_in_its_own_way(setting: str, large: str, small: str) -> None:
    loaded = load(OPENAI_BASE_URL="http://localhost:1/v1", OPENAI_MODEL="large,small", CHAT_CONTINUE=setting)
    assert loaded["CHAT_CONTINUE"] == {"large": large, "small": small}


def test_cookies_are_secure_unless_debugging() -> None:
    assert load()["SESSION_COOKIE_SECURE"]
    assert load()["CSRF_COOKIE_SECURE"]
    assert not load(DEBUG="1")["SESSION_COOKIE_SECURE"]


def test_a_process_without_a_secret_key_does_not_start() -> None:
    process = subprocess.run(
        [sys.executable, "manage.py", "check"],
        cwd=ROOT,
        env={"ENV_FILE": os.devnull, "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode != 0
    assert "SECRET_KEY is not set." in process.stderr.splitlines()[-1]


def test_the_environment_overrides_the_env_file(tmp_path: Any) -> None:
    env_file = tmp_path / ".env"
    env_file.write_text("TIME_ZONE=Europe/Berlin\nDEFAULT_FROM_EMAIL=chat@example.org\n")
    loaded = load(ENV_FILE=str(env_file), TIME_ZONE="Europe/Lisbon")
    assert loaded["TIME_ZONE"] == "Europe/Lisbon"
    assert loaded["DEFAULT_FROM_EMAIL"] == "chat@example.org"


def test_the_readme_explains_every_setting() -> None:
    explained = re.findall(r"^\| `([A-Z][A-Z_]+)`", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert set(explained) == settings_of_the_environment()


def test_the_example_lists_every_setting() -> None:
    listed = re.findall(r"^(?:# )?([A-Z][A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE)
    assert set(listed) == settings_of_the_environment()
