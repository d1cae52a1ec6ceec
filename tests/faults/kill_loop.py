"""The kill loop: processes die at random moments, and every reply ends as it should, with all that was seen stored.

    python -m tests.faults.kill_loop --rounds 200 --backend all --seed 1

The backends share the rounds and run side by side. A seed decides who does what, and what happens to which process
when. How far the others have come by then depends on the machine.
"""

import argparse
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import SystemRandom

import django

# Before Django reads its settings: nobody's own reach the servers.
import tests.environment  # noqa: F401
from tests.stores import BACKENDS, stores

ROOT = Path(__file__).parents[2]
FIGURES = "figures: "


def main() -> int:
    parser = argparse.ArgumentParser(description="Let processes die and see whether every reply survives it.")
    parser.add_argument("--rounds", type=int, default=20, help="in all")
    parser.add_argument(
        "--backend", choices=[*BACKENDS, "all", "here"], default="all", help="here: the empty one of DATABASE_URL"
    )
    parser.add_argument("--seed", type=int, default=SystemRandom().randrange(1_000_000))
    options = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    os.environ.setdefault("DATABASE_URL", "sqlite://:memory:")
    django.setup()
    if options.backend == "here":
        return here(options.rounds, options.seed)
    backends = BACKENDS if options.backend == "all" else [options.backend]
    shares = [len(range(number, options.rounds, len(backends))) for number in range(len(backends))]
    say(f"seed {options.seed}")
    with ThreadPoolExecutor(len(backends)) as threads:
        results = list(threads.map(elsewhere, backends, shares, [options.seed] * len(backends)))
    say(table(backends, [figures for _, figures in results]))
    return max(status for status, _ in results)


def here(rounds: int, seed: int) -> int:
    """Run the rounds on the stores of this process's environment."""
    # The settings know them only now.
    from tests.faults.rounds import run

    faults, figures = run(rounds, seed, say)
    say(f"{FIGURES}{json.dumps(figures)}")
    return bool(faults)


def elsewhere(backend: str, rounds: int, seed: int) -> tuple[int, dict[str, float]]:
    """Run the rounds in a process with its own stores; returns its exit status and its figures."""
    command = [sys.executable, "-m", "tests.faults.kill_loop", "--backend=here", f"--rounds={rounds}", f"--seed={seed}"]
    figures = {}
    with (
        stores(backend) as environment,
        subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process,
    ):
        assert process.stdout
        for line in process.stdout:
            if line.startswith(FIGURES):
                figures = json.loads(line.removeprefix(FIGURES))
            else:
                say(f"{backend}: {line.rstrip()}")
    return process.returncode, figures


def table(backends: list[str], results: list[dict[str, float]]) -> str:
    lines = [["", *backends], ["---"] * (len(backends) + 1)]
    lines += [[name, *(f"{figures.get(name, 0):,}" for figures in results)] for name in results[0]]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def say(text: str) -> None:
    print(text, flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
