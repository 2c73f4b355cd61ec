# Everything a developer does, by name. `make` alone lists it.
# Needs python3 (3.11 or later, with venv), git, make, and a Python package registry within reach.

PYTHON ?= python3
JOBS ?= 2
ARGS ?=

BIN := .venv/bin
PY := $(BIN)/python
STAMP := .venv/.installed
BENCH_STAMP := .venv/.installed-bench
SUITE ?= all
PIP := $(PY) -m pip --quiet --disable-pip-version-check --no-input

.DEFAULT_GOAL := help
.PHONY: help install demo test check format proof conformance bench clean

help:  ## list what can be made
	@echo "mabeam: make ..."
	@sed -n 's/^\([a-z]*\):.*## /\1|/p' Makefile | while IFS='|' read -r name text; do \
		printf '  %-11s %s\n' "$$name" "$$text"; done

install: $(STAMP)  ## create .venv and install mabeam with all its tools

# The stamp makes the set-up idempotent: it runs again only when the dependencies or their pins have changed.
# hatchling comes first and the build is not isolated, so that the pins hold for the build as well.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(v < (3, 11) and "mabeam needs Python 3.11 or later, $(PYTHON) is %d.%d; try make PYTHON=python3.12" % v[:2])'
	@$(PY) -m pip --version >/dev/null 2>&1 || { echo "creating .venv"; $(PYTHON) -m venv --clear .venv; }
	@echo "installing mabeam and its tools into .venv"
	@$(PIP) install --constraint constraints.txt hatchling editables
	@$(PIP) install --constraint constraints.txt --no-build-isolation --editable '.[dev]'
	@touch $(STAMP)

demo: $(STAMP)  ## review the standard library's asyncio and concurrent, with every fifth reviewer crashing
	@$(BIN)/mabeam review $$($(PY) -c 'import asyncio, concurrent; print(asyncio.__path__[0], concurrent.__path__[0])') \
		--chaos 0.2 --fail-on never $(ARGS)

test: $(STAMP)  ## run all tests (JOBS=2 workers; ARGS goes to pytest)
	@$(PY) -m pytest --quiet --numprocesses=$(JOBS) --dist=worksteal $(ARGS)

check: $(STAMP)  ## format, lint, types, import contracts, documentation links
	@echo "ruff format"; $(BIN)/ruff format --check --output-format concise --quiet . || { echo "not formatted; run: make format"; exit 1; }
	@echo "ruff check"; $(BIN)/ruff check --quiet .
	@echo "mypy"; $(BIN)/mypy --no-error-summary
	@echo "lint-imports"; $(BIN)/lint-imports --no-logo >.venv/lint-imports.txt 2>&1 || { cat .venv/lint-imports.txt; exit 1; }
	@echo "documentation"; $(PY) -m pytest --quiet --no-header tests/docs/test_links.py

format: $(STAMP)  ## put all files into the house format and fix what can be fixed safely
	@$(BIN)/ruff format --quiet .
	@$(BIN)/ruff check --quiet --fix .

proof: $(BENCH_STAMP)  ## what is too long for every change: many seeds, thousands of crashes, mutants, Erlang, peers (ARGS goes to pytest)
	@echo "all tests with many seeds, and the storms"; $(PY) -m pytest --quiet --numprocesses=$(JOBS) --dist=worksteal --proof --simulate-seeds=1000 --timeout=1800 $(ARGS)
	@echo "mutants"; $(PY) -m tests.proof.mutants --jobs $(JOBS)
	@echo "fresh scenarios beside Erlang/OTP"; $(PY) -m tests.conformance.otp.fresh
	@echo "speed beside the peers"; $(PY) -m benchmarks all

conformance: $(STAMP)  ## run 2,000 fresh random scenarios and compare with Erlang/OTP where erl is installed (SEED=N again)
	@$(PY) -m tests.conformance.otp.fresh $(if $(SEED),--seed $(SEED)) $(ARGS)

$(BENCH_STAMP): $(STAMP)
	@echo "installing the peers that mabeam is measured beside"
	@$(PIP) install --constraint constraints.txt --no-build-isolation --editable '.[dev,bench]'
	@touch $(BENCH_STAMP)

bench: $(BENCH_STAMP)  ## measure mabeam beside its peers (SUITE=kernel ARGS="--quick --only call_idle --json FILE --report")
	@$(PY) -m benchmarks $(SUITE) $(ARGS)

clean:  ## remove .venv and everything that tools left behind
	@rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis build dist
	@find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
