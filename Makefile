# Two commands on a fresh machine: `make run` and `make test`. `make` alone lists all.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# Any Python >= 3.11; only .venv is made with it.
PYTHON ?= $(firstword $(foreach p,python3 python3.14 python3.13 python3.12 python3.11,\
	$(shell $(p) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $(p))) python3)
BIN := .venv/bin
# Without it only the tests that need it fail, and say so.
CHROMIUM := tools/chromium.sh || true

# Before anything else: one line that says what is missing and how to install it, exit 2.
ifneq (,$(filter run test faults jars dist check format acls model fuzz venv lock audit promtool nginx actionlint deploy-check,$(MAKECMDGOALS)))
MISSING := $(shell tools/prerequisites.sh "$(PYTHON)")
ifneq (,$(MISSING))
$(error $(MISSING))
endif
endif

.PHONY: run test model faults fuzz check format acls venv jars dist promtool nginx actionlint deploy-check chromium vendor-ui lock audit help

run: .venv/running jars ## Start everything with a simulated fleet; prints the URL, a token, two curl lines
	@exec $(BIN)/energy up --demo

test: venv jars ## Run the suite against a real broker, tier by tier; TIERS="unit broker" picks
	@$(if $(TIERS),$(if $(filter e2e ui,$(TIERS)),$(CHROMIUM)),$(CHROMIUM))
	@$(BIN)/python -m tests.tiers $(TIERS)

model: venv ## Run random schedules of the simulated protocol; SCHEDULES=1000000 SEED=7
	@$(BIN)/python -m tests.model $(if $(SCHEDULES),--schedules $(SCHEDULES)) $(if $(SEED),--seed $(SEED))

faults: venv jars ## Kill workers and worse for as long as you like; KILLS=300 SEED=7
	@$(BIN)/python -m tests.fault $(if $(KILLS),--kills $(KILLS)) $(if $(SEED),--seed $(SEED))
	@$(BIN)/python -m pytest tests/long -q

fuzz: venv ## Hostile and generated requests and records, many of them; CASES=50000 RECORDS=1000000 LISTINGS=50
	@FUZZ_CASES=$(or $(CASES),50000) FUZZ_RECORDS=$(or $(RECORDS),1000000) FUZZ_SEED=$(or $(SEED),1) FUZZ_LISTINGS=$(or $(LISTINGS),50) \
		$(BIN)/python -m pytest tests/fuzz -q -s --timeout-method=thread

check: venv ## Lint, formatting, types, imports, scripts, alert rules, manifests, in seconds
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy $(wildcard contract kafka_io producer stream_app api operations local_stack cli tests/benchmarks) & \
		$(BIN)/mypy --config-file tests/mypy.ini tests; tests=$$?; wait $$! && exit $$tests
	@$(BIN)/lint-imports --no-logo
	@tools/lint.sh

format: venv ## Let ruff format the code and mend what it safely can
	@$(BIN)/ruff check --fix --quiet . || true
	@$(BIN)/ruff format --quiet .

acls: venv ## Write from deploy/kafka/acls.yaml what is made of it: page, script, users for Strimzi
	@$(BIN)/python tools/acls.py

venv: .venv/installed ## Make .venv from the lock files

PIP_INSTALL := $(BIN)/python -m pip install -q --disable-pip-version-check

# Half of what the tests need, and all that somebody waits for who wants to look at it.
.venv/running: requirements-local.lock pyproject.toml
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
		|| "$(PYTHON)" -m venv --clear .venv
	@echo "Installing the locked packages into .venv"
	@$(PIP_INSTALL) --require-hashes -r requirements-local.lock
	@$(PIP_INSTALL) --no-deps --no-build-isolation -e .
	@touch $@

.venv/installed: requirements.lock tests/fuzz/tinybird-sdk.lock .venv/running
	@echo "Installing what the tests need into .venv"
	@$(PIP_INSTALL) --require-hashes -r requirements.lock
	@$(PIP_INSTALL) --require-hashes --no-deps -r tests/fuzz/tinybird-sdk.lock
	@touch $@

# Into the user's cache, once for all clones.
jars: .venv/running ## Fetch Apache Kafka's jars, as pinned in local_stack/broker/jars.lock
	@$(BIN)/python -m local_stack.broker.jars
	@$(BIN)/python -m local_stack.broker.class_archive

dist: venv ## Build wheel and sdist into dist/
	@$(BIN)/python tools/make_dist.py

promtool: $(BIN)/promtool ## Fetch what `make check` tests the alert rules with, from Debian

$(BIN)/promtool: | .venv/installed
	@tools/fetch_from_debian.sh prometheus usr/bin/promtool $@

nginx: $(BIN)/nginx ## Fetch what `make check` tests the reverse proxy's file with, from Debian

$(BIN)/nginx: | .venv/installed
	@tools/fetch_from_debian.sh nginx usr/sbin/nginx $@

actionlint: $(BIN)/actionlint ## Build what `make check` reads the workflows with, where Go is

$(BIN)/actionlint: | .venv/installed
	@GOBIN="$(CURDIR)/$(BIN)" go install github.com/rhysd/actionlint/cmd/actionlint@v1.7.12

deploy-check: venv ## List the files of deploy/ and what checks each, then check them
	@$(BIN)/python -m tests.deploy_files

chromium: ## Install the browser in which the page is tested, from Debian
	@tools/chromium.sh

vendor-ui: ## Fetch the page's chart library again, from its npm package
	@tools/vendor_ui.sh api/ui/vendor/uplot

# Settings of the machine that runs this (another index, local wheels) must not get into the files.
UV_COMPILE = UV_NO_CONFIG=1 UV_CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/uv pip compile --quiet \
	--universal --generate-hashes --python-version 3.11 --no-emit-index-url --no-annotate

lock: venv ## Renew the lock files from what is pinned; UPGRADE=1 takes newest indirect packages
	@$(BIN)/python -m pip install -q --disable-pip-version-check uv
	@$(UV_COMPILE) pyproject.toml --extra local --extra build --extra dev $(if $(UPGRADE),--upgrade) \
		-o requirements.lock
	@$(UV_COMPILE) pyproject.toml --extra local --extra build --constraint requirements.lock \
		-o requirements-local.lock
	@$(UV_COMPILE) pyproject.toml --extra build --constraint requirements.lock \
		-o deploy/requirements.lock
	@$(UV_COMPILE) tests/benchmarks/peers/quix.in $(if $(UPGRADE),--upgrade) \
		-o tests/benchmarks/peers/quix.lock
	@$(UV_COMPILE) tests/benchmarks/plots/plots.in $(if $(UPGRADE),--upgrade) \
		-o tests/benchmarks/plots/plots.lock

audit: venv ## Ask the package index about known holes in each locked package
	@$(BIN)/python -m pip install -q --disable-pip-version-check uv
	@$(BIN)/uvx pip-audit==2.10.1 --disable-pip --require-hashes -r requirements.lock

help: ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1@\2/p' Makefile | awk -F@ '{printf "%-14s %s\n", $$1, $$2}'
