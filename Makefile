# The one definition of every check; CI and people call the same targets. `make help` lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CLI_VENV := .venv-globus-cli
TOOLS := 7z rsync
SOURCES := src tests
PIP := pip install --quiet --disable-pip-version-check --require-virtualenv
unexport PYTHONDONTWRITEBYTECODE # or each of the hundreds of processes of a test run compiles everything anew

.PHONY: help setup setup-development setup-tests demo demo-run demo-reset serve test test-faults fault-counts check fix bench screenshots bundle bundle-check clean
.DEFAULT_GOAL := help

help: ## Show this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/\1|\2/' | while IFS='|' read -r name text; do printf '  make %-12s %s\n' "$$name" "$$text"; done

setup: $(VENV)/.ready ## Install what the product needs: tools, virtual environment, locked packages
	@.ci/tools $(TOOLS)

$(VENV)/.ready: .ci/runtime.lock pyproject.toml
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || .ci/tools python3-venv
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing the locked Python packages into $(VENV)"
	@$(BIN)/$(PIP) --require-hashes -r .ci/runtime.lock
	@$(BIN)/$(PIP) --no-deps --editable .
	@touch $@

setup-tests: setup-development $(CLI_VENV)/.ready
	@.ci/tools strace chromium-headless-shell libatomic e2fsprogs mount

setup-development: setup $(VENV)/.ready-development

$(VENV)/.ready-development: .ci/development.lock $(VENV)/.ready
	@echo "Installing what development needs besides"
	@$(BIN)/$(PIP) --require-hashes -r .ci/development.lock
	@touch $@

# The real globus-cli pins another globus-sdk, so it lives in an environment of its own, for tests only.
$(CLI_VENV)/.ready: .ci/globus-cli.lock
	@test -x $(CLI_VENV)/bin/python || $(PYTHON) -m venv $(CLI_VENV)
	@echo "Installing globus-cli for the tests into $(CLI_VENV)"
	@$(CLI_VENV)/bin/$(PIP) --require-hashes -r .ci/globus-cli.lock
	@touch $@

demo: setup ## Example NAS, Globus sandbox and the service; prints the address and the sign-in
	@$(BIN)/cs-archiver demo

demo-run: setup ## The same, hands-off: archives every folder, proves the result, and ends
	@$(BIN)/cs-archiver demo --run

demo-reset: ## Throw the demo's data away, so that the next demo begins anew
	@rm -rf demo-data

serve: setup ## Run the service with /etc/cs-archiver/config.toml and the environment
	@$(BIN)/cs-archiver serve

test: setup-tests ## All tests, with a slice of the fault suites
	@$(BIN)/python -m pytest -q -n 5 --dist worksteal

test-faults: setup-tests ## Crashes, outages and hostile input in full; hours. FAULTS=tests/faults/test_names.py for one suite, PART=3/10 for a tenth
	@CS_ARCHIVER_FAULTS=full CS_ARCHIVER_FAULTS_PART=$(PART) CS_ARCHIVER_LEDGER=$(abspath $(LEDGER)) \
		$(BIN)/python -m pytest -q -n 2 $(or $(FAULTS),tests/faults tests/integration/test_hostile_paths.py)

fault-counts: setup-tests ## What all runs of test-faults with LEDGER=FILE have shown so far, added up from FILE
	@$(BIN)/python -m tests.support.tally $(LEDGER)

check: setup-tests ## Format, lint, types, layers, vendored files
	@$(BIN)/ruff format --check $(SOURCES)
	@$(BIN)/ruff check $(SOURCES)
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(PYTHON) .ci/vendor check

fix: setup-development ## Format, and mend what the linter can
	@$(BIN)/ruff check --fix $(SOURCES)
	@$(BIN)/ruff format $(SOURCES)

bench: setup-tests ## Measure, beside baselines; ONLY=pipeline for one, FULL=1 in full, WRITE=1 into docs/benchmarks.md
	@.ci/tools gcc libc6-dev
	@$(BIN)/python -m tests.bench $(ONLY) $(if $(FULL),--full) $(if $(WRITE),--write)

screenshots: setup-tests ## Write pictures of every page into docs/screenshots
	@$(BIN)/python -m tests.browser.screenshots

bundle: setup-development ## Build dist/: the wheel, and the single file that needs no Python
	@.ci/tools objcopy libpython
	@rm -rf dist
	@$(BIN)/pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir dist .
	@$(BIN)/pyinstaller --noconfirm --log-level ERROR --distpath dist --workpath build .ci/single_file.spec
	@dist/cs-archiver doctor --help >/dev/null  # imports nearly all of it: a module that was left out ends the build
	@ls -sh1 dist

bundle-check: ## Try both from an empty folder: version, configuration, demo with its proof, pages; minutes
	@.ci/tools $(TOOLS)
	@$(PYTHON) .ci/bundle-check

clean: ## Remove what was built and installed here; the demo's data stays
	@rm -rf $(VENV) $(CLI_VENV) build dist .mypy_cache .ruff_cache .import_linter_cache .hypothesis
