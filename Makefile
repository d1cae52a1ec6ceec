# `make run` and `make test` need nothing but Python: they create what is missing and skip what exists.

VENV := .venv
BIN := $(VENV)/bin
PORT ?= 8000
ARGS ?=
ROUNDS ?= 20

# uv finds a Python that is new enough, or fetches one. Without uv, it is the first of these; make looks only when it
# has to create the environment.
UV = $(shell command -v uv)
PYTHON = $(shell for python in python3 python3.14 python3.13 python3.12; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2>/dev/null && echo $$python && break; done)
define NO_PYTHON
Parley needs Python 3.12 or later. Install it (Debian 13, Ubuntu 24.04: apt-get install python3 python3-venv; macOS: \
brew install python3), or install uv (https://docs.astral.sh/uv/), with which make fetches a Python by itself
endef

# The JavaScript checks need npm. Without it they are skipped, unless nothing may be skipped (REQUIRE_ALL=1).
NPM := $(or $(shell command -v npm),$(filter 1,$(REQUIRE_ALL)))
JS := $(VENV)/node/node_modules/.bin

# More workers than cores, because many tests wait for other processes.
WORKERS ?= 4
PARALLEL = -n $(WORKERS) --dist worksteal
PYTEST = $(BIN)/python -m pytest $(PARALLEL)

# Tests start hundreds of processes, each of which would compile everything again.
unexport PYTHONDONTWRITEBYTECODE

# Checks start Django, but never with your own settings or database.
CHECKS := ENV_FILE=/dev/null DEBUG=1 SECRET_KEY=for-checks-only DATABASE_URL=sqlite://:memory:

.DELETE_ON_ERROR:
.PHONY: help run quick test some suites sqlite browser postgresql redis kill-loop bench bench-quick bench-data bench-search bench-pages pythons
.PHONY: lint types migrations javascript style format pins

help:
	@sed -n 's/^## //p' $(firstword $(MAKEFILE_LIST))

## make run      start Parley on port 8000; PORT= chooses another one, RELOAD=1 restarts it when code changes
run: $(VENV)/base .env
	@$(BIN)/python manage.py start --port $(PORT) $(if $(RELOAD),--reload)

## make quick    linters, types and the tests that start no server, browser or other database
# These wait for nothing, and each worker takes seconds to collect them.
quick: WORKERS := 3
quick: lint
	$(PYTEST) --ignore tests/browser -m "not process" $(ARGS)

## make test     linters, types and all tests; ARGS="-k sse" runs only what pytest selects
test: lint $(if $(ARGS),some,suites)

some: $(VENV)/dev
	$(BIN)/python -m pytest $(ARGS)

# They collect static files once, and migrate SQLite once.
suites:
	@folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT INT TERM && TESTS_SHARED=$$folder \
		$(MAKE) --file $(firstword $(MAKEFILE_LIST)) --no-print-directory sqlite browser postgresql redis

# The suites of `make test`, each of which can run by itself. Only the first measures coverage; what is about the store and
# needs Redis runs in the last one.
sqlite: $(VENV)/dev
	$(PYTEST) --ignore tests/browser -m "not (stores and redis)" --cov

browser: $(VENV)/dev
	$(PYTEST) tests/browser

postgresql: $(VENV)/dev
	$(BIN)/python -m tests.stores postgresql $(PARALLEL) --ignore tests/browser -m "stores and not redis"

# Without a pool, as with a pooler like PgBouncer.
redis: $(VENV)/dev
	DATABASE_POOL=0 $(BIN)/python -m tests.stores redis $(PARALLEL) --ignore tests/browser -m "stores and process"

## make kill-loop  kill processes and check that every reply survives; ROUNDS= says how often, SEED= repeats a schedule
kill-loop: $(VENV)/dev
	$(BIN)/python -m tests.faults.kill_loop --rounds $(ROUNDS) $(if $(SEED),--seed $(SEED)) $(ARGS)

## make bench    measure what a delta costs, beside two other relays, and write the table in docs/performance.md
bench: $(VENV)/dev
	$(BIN)/python -m tests.bench.relay $(ARGS)

## make bench-quick  the same in a minute, on SQLite; fails when a delta has become 15 % dearer. ARGS=--keep keeps the ratio
bench-quick: $(VENV)/dev
	$(BIN)/python -m tests.bench.relay --quick $(ARGS)

## make bench-data  make SQLite and PostgreSQL with a million messages; MESSAGES= says how many, BENCH_FOLDER= where
bench-data: $(VENV)/dev
	$(BIN)/python -m tests.bench.data $(if $(MESSAGES),--messages $(MESSAGES)) $(ARGS)

## make bench-search  measure searches in them, and write the table in docs/performance.md
bench-search: $(VENV)/dev
	$(BIN)/python -m tests.bench.search $(ARGS)

## make bench-pages  measure pages in them, and write the table in docs/performance.md
bench-pages: $(VENV)/dev
	$(BIN)/python -m tests.bench.pages $(ARGS)

## make pythons  part of the tests on each other supported Python that is installed
pythons: $(VENV)/dev
	$(BIN)/python -m tests.pythons

## make lint     linters and types only
# Two at a time: each keeps one core busy.
lint: $(VENV)/dev $(if $(NPM),$(VENV)/js)
	@$(MAKE) --file $(firstword $(MAKEFILE_LIST)) --no-print-directory --jobs 2 --output-sync types migrations javascript style

style:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/djade --check --target-version 6.1 $$(find templates -name '*.html')

types:
	$(CHECKS) $(BIN)/mypy

migrations:
	$(CHECKS) $(BIN)/python manage.py makemigrations --check --dry-run
	$(CHECKS) $(BIN)/python manage.py check

javascript:
	$(if $(NPM),$(JS)/biome ci --colors=off,@echo "There is no npm, so the JavaScript was not checked.")
	$(if $(NPM),$(JS)/tsc --project .)

## make format   format code and templates
format: $(VENV)/dev $(if $(NPM),$(VENV)/js)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/djade --target-version 6.1 $$(find templates -name '*.html')
	$(if $(NPM),$(JS)/biome check --write)

## make pins     compile requirements/*.in to requirements/*.txt; ARGS=--upgrade takes the newest versions
# In this order, because each file keeps to the pins of the previous one.
pins: $(VENV)/dev
	for name in base prod dev; do \
		$(BIN)/uv pip compile --quiet --universal --generate-hashes --python-version 3.12 $(ARGS) \
			--custom-compile-command "make pins" requirements/$$name.in -o requirements/$$name.txt || exit; \
	done

$(BIN)/python:
	$(if $(or $(UV),$(PYTHON)),,$(error $(NO_PYTHON)))
	@echo "Making $(VENV) with $(if $(UV),uv,$(PYTHON))"
	@$(if $(UV),uv venv --quiet --clear --python '>=3.12',$(PYTHON) -m venv --clear) $(VENV)

$(VENV)/base $(VENV)/dev: $(VENV)/%: requirements/%.txt | $(BIN)/python
	@echo "Installing $<"
	@$(if $(UV),uv pip install --python $(BIN)/python,$(BIN)/python -m pip install) --quiet --require-hashes -r $<
	@touch $@

$(VENV)/js: requirements/package-lock.json | $(BIN)/python
	@echo "Installing $<"
	@mkdir -p $(VENV)/node
	@cp requirements/package.json $< $(VENV)/node
	@cd $(VENV)/node && npm ci --silent --no-audit --no-fund
	@touch $@

# No prerequisite can be newer, so an existing file is never overwritten.
.env: | $(BIN)/python
	@umask 077 && $(BIN)/python -c 'import secrets; print(f"DEBUG=1\nSECRET_KEY={secrets.token_urlsafe(48)}")' > $@
