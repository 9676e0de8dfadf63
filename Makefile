# Every target makes its own virtual environment from the locked versions; nothing but Python 3.11+ and make is needed.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
ONCE   ?=

# Python keeps its bytecode, even if the environment forbids it, as that of many container images does: the tests start
# Python hundreds of times, and compiling the sources takes longer than most of these programs run.
export PYTHONDONTWRITEBYTECODE :=

# The image builder of this machine, and the image: make image IMAGE=registry.example.org/token-enforcer:0.1.0 BASE_IMAGE=… BUILD_IMAGE=…
# The default tag is that of the manifests and charts.
BUILDER ?= $(firstword $(foreach tool,docker podman buildah,$(if $(shell command -v $(tool)),$(tool))))
VERSION_NOW := $(shell sed -n 's/^version = "\(.*\)"$$/\1/p' pyproject.toml)
IMAGE   ?= token-enforcer:$(VERSION_NOW)

# Ports of `make demo`, if the default ports are in use: make demo PORT=8191 ADMIN_PORT=9191 AUTH_PORT=8185 APP_PORT=8190
DEMO_PORTS = $(if $(PORT),--port $(PORT)) $(if $(ADMIN_PORT),--admin-port $(ADMIN_PORT)) \
	$(if $(AUTH_PORT),--auth-port $(AUTH_PORT)) $(if $(APP_PORT),--app-port $(APP_PORT))

.PHONY: help demo kind test test-compiled coverage check lint fuzz properties soak fairness bench bench-page interop gateways apps e2e-pods e2e-cluster image
.PHONY: generated golden k8s corpus corpus-openapi alerts lock version release clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/.ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or later is needed; choose one with: make PYTHON=python3.12 …" >&2; exit 2; }
	@echo "setting up $(VENV) …"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip --quiet --disable-pip-version-check install --require-hashes -r requirements.lock
	@$(BIN)/pip --quiet --disable-pip-version-check install --no-deps --no-build-isolation -e .
	@touch $@

demo: $(VENV)/.ready ## Start auth server, country app and enforcer, and play the walk (ONCE=1: then stop)
	@$(BIN)/enforcer demo $(if $(ONCE),--once) $(DEMO_PORTS)

kind: $(VENV)/.ready ## The demo on a Kubernetes cluster in containers, from nothing to the walk (docker, kind, kubectl; ONCE=1)
	@$(BIN)/python -m e2e.kind $(if $(ONCE),--once) $(if $(PORT),--port $(PORT)) $(if $(AUTH_PORT),--auth-port $(AUTH_PORT))

# Each worker takes a part of the tests, in their order, so that it builds what the tests of a module share only once; a
# worker that has finished takes some of the rest of another one. One worker more than cores: they wait for processes.
PARALLEL = -n $(shell echo $$(($$(getconf _NPROCESSORS_ONLN) + 1))) --dist worksteal

test: $(VENV)/.ready ## Run the tests
	$(BIN)/pytest $(PARALLEL) $(PYTEST_ARGS)

# Apart from .venv, and before it where Python looks for modules: also where a test has a folder of its own.
build/compiled/.ready: $(VENV)/.ready hatch_build.py $(shell find enforcer -name '*.py')
	@echo "compiling the path of requests …"
	@rm -rf build/compiled
	@HATCH_BUILD_HOOK_ENABLE_CUSTOM=true $(BIN)/pip --quiet --disable-pip-version-check install \
		--no-deps --no-build-isolation --target build/compiled .
	@touch $@

test-compiled: build/compiled/.ready ## Run the tests of what is compiled in the image (needs a C compiler and Python.h)
	@cd / && PYTHONPATH=$(CURDIR)/build/compiled $(CURDIR)/$(BIN)/python -c \
		'import enforcer.proxy.exchange as found; assert found.__file__.endswith(".so"), found.__file__'
	PYTHONPATH=$(CURDIR)/build/compiled PYTHONSAFEPATH=1 $(BIN)/pytest $(PARALLEL) $(PYTEST_ARGS) \
		--deselect tests/fuzz/test_smoke.py::test_search_finds_a_violation_in_a_broken_enforcer \
		--deselect tests/fuzz/test_smoke.py::test_saved_input_is_checked_again \
		--deselect tests/fuzz/test_cost.py::test_an_expensive_request_is_noticed \
		--deselect tests/fuzz/test_cost.py::test_the_random_search_finds_an_expensive_request \
		tests/attacks tests/decision_api tests/decision_log tests/e2e tests/exchanges tests/fuzz tests/operations tests/policy tests/proxy \
		tests/server tests/test_counters.py tests/tokens tests/wire

# Without the tests that start processes or render charts: the lines that run there are not counted.
COVERED = $(wildcard $(addprefix tests/,analysis cli config decision_api decision_log doctor exchanges kubernetes operations \
	policy proxy server settings tokens wire yamltext test_*.py))

coverage: $(VENV)/.ready ## Measure the lines that the tests run, by module, and compare with the floors
	@mkdir -p build
	$(BIN)/pytest $(PARALLEL) --hypothesis-profile=quick --cov=enforcer --cov-report=json:build/coverage.json --cov-report= $(COVERED) $(PYTEST_ARGS)
	$(BIN)/python .ci/check_coverage.py build/coverage.json

lint: $(VENV)/.ready ## Style, types and prose
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python .ci/check_compiled.py
	$(BIN)/python .ci/check_prose.py

fuzz: $(VENV)/.ready ## Search for bytes that break the parsers, for a minute (FUZZ_SECONDS=600: longer)
	@PYTHONPATH=tests $(BIN)/python -m fuzz $(if $(FUZZ_SECONDS),--seconds $(FUZZ_SECONDS))

properties: $(VENV)/.ready ## Run the property tests with new random examples (RUNS=50: more often than five times)
	@for run in $$(seq $(or $(RUNS),5)); do \
		$(BIN)/pytest $(PARALLEL) -m hypothesis --hypothesis-profile=random $(PYTEST_ARGS) || exit 1; \
	done

soak: build/compiled/.ready ## Mixed traffic for ten minutes, servers killed under it (SOAK_SECONDS=60 CONNECTIONS=50: shorter, fewer)
	@PYTHONPATH=$(CURDIR)/build/compiled:tests PYTHONSAFEPATH=1 $(BIN)/python -m soak $(if $(SOAK_SECONDS),--seconds $(SOAK_SECONDS)) \
		$(if $(CONNECTIONS),--connections $(CONNECTIONS))

fairness: build/compiled/.ready ## Flood the enforcer, and measure what other clients notice (FAIRNESS_SECONDS=2: shorter; ONLY=chunks)
	@PYTHONPATH=$(CURDIR)/build/compiled:tests PYTHONSAFEPATH=1 $(BIN)/python -m fairness \
		$(if $(FAIRNESS_SECONDS),--seconds $(FAIRNESS_SECONDS)) $(if $(ONLY),--only $(ONLY))

bench: $(VENV)/.ready ## Measure beside other proxies, for ten minutes (a quick look: ROUNDS=1 SECONDS=1 ONLY=cached; two builds: AGAINST=REV)
	@$(BIN)/python -m bench $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(SECONDS),--seconds $(SECONDS)) \
		$(if $(ONLY),--only $(ONLY)) $(if $(AGAINST),--against $(AGAINST)) $(if $(BENCH_PYTHON),--python $(BENCH_PYTHON))

bench-page: $(VENV)/.ready ## Write the last measurement into docs/speed.md
	@$(BIN)/python -m bench --page

interop: $(VENV)/.ready ## Walk with the tokens of authorization servers of others (one: SERVER=keycloak); fetches them
	@$(BIN)/python -m interop $(SERVER)

gateways: $(VENV)/.ready ## Ask through real gateways with the shipped examples (those that are installed; GATEWAY_COMMANDS=DIR: more; GATEWAY_CRDS=DIR: objects too)
	@GATEWAYS=1 $(BIN)/pytest tests/gateways $(PYTEST_ARGS)

build/apps/.ready: tests/apps/requirements.txt tests/apps/package.json
	@echo "installing apps and their clients …"
	@$(PYTHON) -m venv build/apps
	@build/apps/bin/pip --quiet --disable-pip-version-check install -r tests/apps/requirements.txt
	@cp tests/apps/package.json build/apps/
	@if command -v npm >/dev/null; then npm install --prefix build/apps --silent --no-audit --no-fund; fi
	@touch $@

apps: $(VENV)/.ready build/apps/.ready ## Run real apps and their clients, straight and through the enforcer (one: PYTEST_ARGS="-k git"); installs them
	@APPS=$(CURDIR)/build/apps/bin/python $(BIN)/pytest tests/apps $(PYTEST_ARGS)

e2e-pods: $(VENV)/.ready ## Run the demo's manifests as real pods, and try what must be so (Linux, root; one: PART=gateway; COMPILED=false)
	@$(BIN)/python -m e2e.pods $(PART) $(if $(filter false,$(COMPILED)),--interpreted)

e2e-cluster: $(VENV)/.ready ## Have a bare API server take all objects, webhook in force (Linux, root, etcd, Go, kubectl)
	@$(BIN)/python -m e2e.cluster

image: ## Build the image (IMAGE=…: its name; BASE_IMAGE=… BUILD_IMAGE=…: a Python base, and what to build in; COMPILED=false)
	@$(if $(BASE_IMAGE),$(if $(BUILD_IMAGE),,$(error BASE_IMAGE=… needs BUILD_IMAGE=… too: an image with the same \
		Python at the same place, venv, a shell, a C compiler and Python.h. With COMPILED=false it may be the same as \
		BASE_IMAGE, where that has venv and a shell)))
	@$(if $(BUILD_IMAGE),$(if $(BASE_IMAGE),,$(error BUILD_IMAGE=… needs BASE_IMAGE=… too: an image with the same \
		Python at the same place)))
	@test -n "$(BUILDER)" || { echo "docker, podman or buildah is needed to build an image" >&2; exit 2; }
	$(BUILDER) build --tag $(IMAGE) $(if $(BASE_IMAGE),--build-arg BASE_IMAGE=$(BASE_IMAGE)) \
		$(if $(BUILD_IMAGE),--build-arg BUILD_IMAGE=$(BUILD_IMAGE)) $(if $(COMPILED),--build-arg COMPILED=$(COMPILED)) \
		--build-arg REVISION=$$(git rev-parse HEAD) --build-arg CREATED=$$(date -u +%Y-%m-%dT%H:%M:%SZ) $(BUILD_ARGS) .

generated: $(VENV)/.ready ## Write what is made from the code and from values.yaml: reference, schema, dashboard
	@$(BIN)/python -m enforcer.config.reference > docs/configuration.md
	@$(BIN)/python -m helm
	@$(BIN)/python .ci/draw_architecture.py

golden: $(VENV)/.ready ## Write the golden files of the tests again, after an intended change of output: review the difference
	@PYTHONPATH=tests $(BIN)/python -m golden

k8s: $(VENV)/.ready ## Render the overlays of k8s/ for the tests, with kubectl or kustomize
	@PYTHONPATH=tests $(BIN)/python -m kustomize

corpus: $(VENV)/.ready ## Inject real manifests of public repositories and count the outcomes (FROM=DIR: a folder with their clones; VERBOSE=1)
	@PYTHONPATH=tests $(BIN)/python tests/kubernetes/corpus/sweep.py $(if $(FROM),--from $(FROM)) $(if $(VERBOSE),--verbose)

corpus-openapi: $(VENV)/.ready ## Import public OpenAPI documents, and look for requests that the policies open (npm, hours; FROM=DIR: a folder; PART=2/9)
	@PYTHONPATH=tests $(BIN)/python -m analysis.openapi.sweep $(if $(FROM),--from $(FROM)) $(if $(PART),--part $(PART))

alerts: ## Check and test the alert rules with promtool
	@command -v promtool >/dev/null || { echo "promtool is needed: it comes with prometheus (apt-get install prometheus)" >&2; exit 2; }
	promtool check rules helm/enforcer/rules/enforcer.yaml
	promtool test rules tests/alerts/enforcer.yaml

check: lint test ## All that is checked before a merge: style, types, tests

# The image has locks of its own, which pick from this one: what it runs on, and what builds it.
COMPILE = $(BIN)/uv --quiet pip compile --universal --python-version 3.11 --generate-hashes --custom-compile-command "make lock"

lock: $(VENV)/.ready ## Renew the locked versions from pyproject.toml
	@$(BIN)/pip --quiet --disable-pip-version-check install uv
	$(COMPILE) --upgrade --all-extras pyproject.toml -o requirements.lock
	$(COMPILE) --extra demo -c requirements.lock pyproject.toml -o image/run.lock
	printf 'hatchling\nmypy\nsetuptools\n' | $(COMPILE) -c requirements.lock - -o image/build.lock

version: $(VENV)/.ready ## Print the version, or write it everywhere: make version VERSION=1.2.3
	@$(BIN)/python .ci/version.py $(VERSION)
	@$(if $(VERSION),$(MAKE) $(VENV)/.ready golden && $(BIN)/python .ci/version.py --injected)

release: $(VENV)/.ready ## Check the commit, build everything into dist/, and tag it (DRY_RUN=1: no tag; REGISTRY=… SOURCE=…)
	@$(BIN)/python .ci/release.py $(if $(DRY_RUN),--dry-run) $(if $(TAGGED),--tagged) $(if $(SKIP_CHECKS),--skip-checks)

clean: ## Remove what the targets made
	rm -rf $(VENV) build dist interop/.build e2e/.build .pytest_cache .mypy_cache .ruff_cache .hypothesis
