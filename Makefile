# `make run` and `make test` need nothing but Python: they make what is missing and skip what is there.

VENV := .venv
BIN := $(VENV)/bin
PORT ?= 8000
ARGS ?=
ROUNDS ?= 20

# The first of these that is new enough. Looked for only where the environment has to be made.
PYTHON = $(shell for python in python3 python3.14 python3.13 python3.12; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2>/dev/null && echo $$python && break; done)
PIP = $(shell command -v uv >/dev/null && echo "uv pip" || echo "$(BIN)/python -m pip")

# Checks start Django, but never with anybody's own settings or database.
CHECKS := ENV_FILE=/dev/null DEBUG=1 SECRET_KEY=for-checks-only DATABASE_URL=sqlite://:memory:

.DELETE_ON_ERROR:
.PHONY: help run quick test kill-loop lint format pins

help:
	@sed -n 's/^## //p' $(firstword $(MAKEFILE_LIST))

## make run      start Parley on port 8000; PORT= chooses another one, RELOAD=1 restarts it when code changes
run: $(VENV)/base .env
	@$(BIN)/python manage.py start --port $(PORT) $(if $(RELOAD),--reload)

## make quick    linters, types and the tests that start no server, browser or other database
quick: lint
	$(BIN)/python -m pytest -n auto -m "not process" $(ARGS)

## make test     linters, types and all tests; ARGS="-k sse" goes to pytest
# A part of the tests cannot reach the coverage that is asked of the whole.
test: lint
	$(BIN)/python -m pytest $(if $(ARGS),$(ARGS),--cov)

## make kill-loop  processes die and every reply survives it; ROUNDS= says how often, SEED= does the same again
kill-loop: $(VENV)/dev
	$(BIN)/python -m tests.faults.kill_loop --rounds $(ROUNDS) $(if $(SEED),--seed $(SEED)) $(ARGS)

## make lint     linters and types only
lint: $(VENV)/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/djade --check --target-version 6.1 $$(find templates -name '*.html')
	$(CHECKS) $(BIN)/mypy
	$(CHECKS) $(BIN)/python manage.py makemigrations --check --dry-run
	$(CHECKS) $(BIN)/python manage.py check

## make format   bring code and templates into shape
format: $(VENV)/dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/djade --target-version 6.1 $$(find templates -name '*.html')

## make pins     requirements/*.txt from requirements/*.in; ARGS=--upgrade takes the newest of everything
# In this order: each file is bound to the pins of the one before.
pins: $(VENV)/dev
	for name in base prod dev; do \
		$(BIN)/uv pip compile --quiet --universal --generate-hashes --python-version 3.12 $(ARGS) \
			--custom-compile-command "make pins" requirements/$$name.in -o requirements/$$name.txt || exit; \
	done

$(BIN)/python:
	$(if $(PYTHON),,$(error Parley needs Python 3.12 or later, as python3, python3.14, python3.13 or python3.12))
	@echo "Making $(VENV) with $(PYTHON)"
	@$(PYTHON) -m venv --clear $(VENV)

$(VENV)/base $(VENV)/dev: $(VENV)/%: requirements/%.txt | $(BIN)/python
	@echo "Installing $<"
	@$(PIP) install --quiet $(if $(findstring uv,$(PIP)),--python $(BIN)/python) --require-hashes -r $<
	@touch $@

# Without prerequisites that could be newer, so that it is never written again.
.env: | $(BIN)/python
	@umask 077 && $(BIN)/python -c 'import secrets; print(f"DEBUG=1\nSECRET_KEY={secrets.token_urlsafe(48)}")' > $@
