# Every target makes its own virtual environment from the locked versions; nothing but Python 3.11+ and make is needed.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
ONCE   ?=

.PHONY: help demo test check lint lock clean

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## /  make \1|/p' $(MAKEFILE_LIST) | column -t -s '|'

$(VENV)/.ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or later is needed; choose one with: make PYTHON=python3.12 …" >&2; exit 2; }
	@echo "setting up $(VENV) …"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip --quiet --disable-pip-version-check install --require-hashes -r requirements.lock
	@$(BIN)/pip --quiet --disable-pip-version-check install --no-deps --no-build-isolation -e .
	@touch $@

demo: $(VENV)/.ready ## Start auth server, country app and enforcer, play the walk (ONCE=1: then stop)
	@$(BIN)/enforcer demo $(if $(ONCE),--once)

test: $(VENV)/.ready ## Run the tests
	$(BIN)/pytest $(PYTEST_ARGS)

lint: $(VENV)/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

check: lint test ## Lint, types, tests

lock: $(VENV)/.ready ## Renew the locked versions from pyproject.toml
	@$(BIN)/pip --quiet --disable-pip-version-check install uv
	$(BIN)/uv --quiet pip compile --universal --python-version 3.11 --generate-hashes --upgrade --all-extras --custom-compile-command "make lock" pyproject.toml -o requirements.lock

clean: ## Remove what the targets made
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
