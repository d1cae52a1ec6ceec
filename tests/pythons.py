"""Runs a part of the tests on each other Python that Parley supports and that is installed: `python -m tests.pythons`.

Each gets an environment beside this one, made by uv.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

VERSIONS = ["3.12", "3.13", "3.14"]
# What most depends on Python itself, and takes seconds.
TESTS = ["sse", "events", "completions", "models", "settings", "sentences", "demo"]
ROOT = Path(__file__).parent.parent
ENVIRONMENT = Path(sys.prefix)


def interpreters() -> Iterator[tuple[str, Path]]:
    """The versions that are installed, apart from the one that runs this."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    for version in VERSIONS:
        if version == f"{sys.version_info.major}.{sys.version_info.minor}":
            continue
        candidates = [shutil.which(f"python{version}"), *sorted(pyenv.glob(f"versions/{version}.*/bin/python"))]
        working = [Path(candidate) for candidate in candidates if candidate and runs(candidate)]
        if working:
            yield version, working[0]
        else:
            sys.stdout.write(f"Python {version} is not installed\n")


def runs(python: str | Path) -> bool:
    """Whether it is more than a shim for a Python that is not there."""
    return subprocess.run([python, "-c", ""], capture_output=True, check=False).returncode == 0


def test(version: str, python: Path) -> None:
    """Raise CalledProcessError if a test fails."""
    uv, there = ENVIRONMENT / "bin/uv", ENVIRONMENT / f"python{version}"
    pins = ["--require-hashes", "--requirement", "requirements/dev.txt"]
    tests = [f"tests/test_{name}.py" for name in TESTS]
    commands: list[list[str | Path]] = [
        [uv, "venv", "--quiet", "--clear", "--no-project", "--python", python, there],
        [uv, "pip", "install", "--quiet", "--python", there / "bin/python", *pins],
        [there / "bin/python", "-m", "pytest", "-q", "-n", "auto", "-m", "not process", *tests],
    ]
    for command in commands:
        subprocess.run(command, cwd=ROOT, check=True)


def main() -> None:
    for version, python in interpreters():
        sys.stdout.write(f"Python {version}\n")
        sys.stdout.flush()
        test(version, python)


if __name__ == "__main__":
    main()
