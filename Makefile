# Every target may be repeated. `make demo` and `make test` set up all they need by themselves.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
LAB    := $(BIN)/python molecule/shared/lab.py
# Where roles and modules are found is said in ansible.cfg; nothing is read from the user's own Ansible settings.
export ANSIBLE_HOME := $(CURDIR)/.cache/ansible
# Open connections are kept under the name of a host, which is the same in the lab of every checkout.
export ANSIBLE_SSH_CONTROL_PATH_DIR := $(CURDIR)/.lab/cp
# Each of the many short programs of the tests would compile all modules anew.
unexport PYTHONDONTWRITEBYTECODE
export PATH := $(CURDIR)/$(BIN):$(PATH)

SCENARIO ?= disk_full

# The longest first. Tests that share their workers cost a fifth more than these.
CHECKS := unit-modules lint-playbooks lint-code lint-scenarios unit-remediate unit-content

.PHONY: help setup demo demo-restore test check lint unit $(CHECKS) lab-up lab-down molecule bench cures soak lock clean
help:  ## Show the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

setup: $(STAMP)  ## Make .venv with the locked dependencies

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Python >= 3.11 is needed, this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || molecule/shared/install-packages.sh python3-venv
	@test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --require-hashes --requirement requirements.lock
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

demo: setup lab-up  ## Fill a disk on a real host, cure it, prove it, and do it again
	molecule/shared/demo.sh

demo-restore: setup lab-up  ## Make a backup of a real host, restore it on another one, and prove what came back
	molecule/shared/demo-restore.sh

test: setup  ## Everything: lint, unit, integration, and the lab's real hosts
	tests/run.sh

# One more beside each other than there are cores: some tests wait.
check: setup  ## The inner loop: lint, types, layers, unit, content (under 2 minutes)
	REMEDIATE_EXAMPLES=inner-loop $(MAKE) --no-print-directory --jobs $$(($$(nproc) + 1)) --output-sync=target $(CHECKS)

lint: setup
	$(MAKE) --no-print-directory $(filter lint-%,$(CHECKS))

unit: setup
	$(MAKE) --no-print-directory $(filter unit-%,$(CHECKS))

lint-code:
	ruff check .
	ruff format --check .
	mypy
	lint-imports --no-logo

lint-playbooks:
	tests/lint-content.sh playbooks

lint-scenarios:
	tests/lint-content.sh molecule

unit-modules:
	pytest tests/unit/content_modules

unit-remediate:
	pytest tests/unit --ignore tests/unit/content_modules

unit-content:
	pytest tests/content

lab-up: setup  ## Start the three lab hosts (installs and starts a container engine if none answers)
	$(LAB) up

lab-down: setup  ## Remove the lab hosts, and the engine if lab-up started it
	$(LAB) down

molecule: setup lab-up  ## Run one molecule scenario: make molecule SCENARIO=disk_full
	molecule test --scenario-name $(SCENARIO)

bench: setup lab-up  ## Measure: times are compared within one run (docs/reference/proof.md)
	$(BIN)/python tests/bench/run.py
	$(BIN)/python tests/bench/audit.py
	$(BIN)/python tests/bench/waiting.py
	$(BIN)/python tests/bench/storm.py
	$(BIN)/python tests/bench/alerted.py
	$(BIN)/python tests/bench/binlog.py
	$(BIN)/python tests/bench/replay.py
	$(BIN)/python tests/bench/restore.py

cures:  ## Print how long each fault of the scenarios took to cure
	$(BIN)/python tests/bench/cures.py

soak: setup lab-up  ## The long repeats, in full (docs/reference/proof.md)
	for scenario in molecule/*/molecule.yml; do molecule test --scenario-name "$$(basename "$$(dirname "$$scenario")")"; done
	REMEDIATE_SOAK=1 pytest tests/integration/lab tests/integration/test_crash_matrix.py tests/integration/test_alerts.py \
	  tests/acceptance/test_http_schema.py

lock:  ## Resolve requirements.lock anew from the ranges in pyproject.toml (needs uv)
	uv pip compile --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --no-emit-find-links --group dev --extra postgres --custom-compile-command 'make lock' pyproject.toml --output-file requirements.lock

clean: lab-down  ## Remove everything that was made here
	rm -rf $(VENV) .lab .cache .ansible .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
