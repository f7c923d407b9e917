# `make` lists what there is. Recipes are thin: each calls one program that a person can call as well.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
KIND := PYTHONPATH=tests $(BIN)/python -m cluster
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

.DEFAULT_GOAL := help
.PHONY: help dashboards demo test prove coverage bench bench-app bench-backup bench-failover images doctor venv lint lint-python lint-ansible unit molecule clean cluster-up cluster-down cluster-up-test cluster-down-test bench-rollout surveys lint-migrations upgrade

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 18

venv: $(VENV)/.complete ## Make the virtual environment
$(VENV)/.complete: requirements/test.lock
	@echo "==> Make the virtual environment (usually 1 min)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps -r requirements/test.lock  # the lock is complete
	@touch $@

doctor: venv ## Say what this machine lacks, and install it where that is allowed
	@$(KIND) doctor

images: venv ## List every image: upstream, built here, or not to be had
	@$(KIND) images

cluster-up: doctor ## Make the demo's kind cluster
	@$(KIND) up demo

cluster-down: venv ## Remove it
	@$(KIND) down demo

cluster-up-test: doctor
	@$(KIND) up test

cluster-down-test: venv
	@$(KIND) down test

demo: cluster-up ## A kind cluster with the whole platform; ends with a URL
	@ansible-playbook site.yml -i inventories/kind
	@$(BIN)/python tests/demo_report.py

lint: venv ## Style, types, YAML, Ansible
	@$(MAKE) --no-print-directory --jobs=2 --output-sync lint-python lint-ansible

lint-python: venv
	@ruff check . && ruff format --check .
	@mypy -p ansible_collections.cryptoexchange.platform.plugins && mypy -p cluster && mypy -p network && mypy -p load
	@mypy -p exchange_backup && mypy -p backup && mypy -p dashboards
	@mypy --config-file app/mypy.ini app

lint-ansible: venv
	@yamllint --strict .
	@ansible-lint --offline

lint-migrations: venv doctor ## Migrations that the version before can't live with
	@pytest -q app/operations/tests/test_migrations.py

unit: venv doctor ## Unit tests, and the application's on a PostgreSQL of their own
	@pytest -q -n 2 --dist loadfile tests/unit tests/backup
	@pytest -q -n 2 --dist worksteal app

surveys: venv ## Write AWX's surveys anew, after the variables of a role have changed
	@$(BIN)/python tests/surveys.py

coverage: venv doctor ## The application's tests, with line coverage of ledger and matching: at least 90 %
	@pytest -q -n 2 --dist worksteal app --cov --cov-config=app/coverage.ini

molecule: venv doctor ## The roles on a kind cluster of their own, which is removed at the end
	@$(KIND) down test  # what an interrupted run left: the first scenario wants an empty cluster
	@$(KIND) up test  # molecule would make it too, but hide the progress of a cold start
	@molecule test --all --destroy=always

test: ## What gates a merge: lint, unit tests, Molecule on kind
	@tests/run.sh lint unit molecule

dashboards: venv ## Make Grafana's dashboards anew from roles/grafana/dashboards
	@PYTHONPATH=roles/grafana $(BIN)/python -m dashboards

bench: venv ## Time site.yml against kubectl apply of the same objects (needs the demo's cluster)
	@$(BIN)/python tests/bench/site.py

bench-app: venv ## Orders over HTTP next to pgbench on the same server, and how both grow with the book
	@$(BIN)/python tests/bench/app.py

bench-backup: venv ## Backups and restores next to bare pg_dump and pg_restore (GIGABYTES, TRIALS)
	@$(BIN)/python tests/bench/backup.py

bench-failover: venv ## How long writes pause in a failover (needs the demo's cluster; TRIALS, FAULTS, MINUTES, LOAD)
	@$(BIN)/python tests/bench/failover.py

bench-observability: venv ## What metrics and logs cost at rest, and how soon a log line can be read (needs the demo's cluster; MINUTES, LINES, RATE)
	@$(BIN)/python tests/bench/observability.py

bench-rollout: venv ## Latencies around a rollout, and what the ingress adds (needs the demo's cluster; TRIALS, RATE)
	@$(BIN)/python tests/bench/rollout.py

upgrade: venv doctor ## The last release becomes this one under load, on Molecule's cluster (PREVIOUS, RATE, ORDERS)
	@$(BIN)/python tests/prove/upgrade.py

prove: venv ## The long campaign: resumable, hours; raw results in build/prove
	@$(BIN)/python tests/prove/run.py

clean: ## Remove what demo and test started; CACHES=1 the caches too
	@if test -x $(BIN)/python; then $(KIND) down test; $(KIND) down demo; \
	  if test -n "$(CACHES)"; then $(KIND) clean && rm -rf $(VENV) .ansible; fi; fi
