# `make demo`: from a fresh clone to an agent at work. `make check`: what must pass before a commit.
# PYTHON names the interpreter that .venv is made with (3.11 or later).
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
DEMO_STAMP := .venv/.installed-demo
PIP := $(BIN)/python -m pip --disable-pip-version-check
# Byte code that Python writes as it imports is kept, whatever the shell says: without it every start takes seconds more.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: setup demo test lint check clean
.DELETE_ON_ERROR:

setup: $(STAMP)

$(STAMP): EXTRAS := train,alfworld,scienceworld,textworld,serve,openai,export,report,dev
# The sets that `make demo` plays have engines of our own; the official ones build interpreters and planners in C first.
$(DEMO_STAMP): EXTRAS := train,report

# torch comes first and alone: the long download is then kept even when a later package cannot be installed. Byte code is
# compiled where a module is first imported (--no-compile): most of those installed never are.
$(STAMP) $(DEMO_STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo 'make: $(PYTHON) is older than 3.11: give another, as in make setup PYTHON=python3.12' >&2; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) install --no-compile -c constraints.txt torch
	$(PIP) install --no-compile -c constraints.txt -e '.[$(EXTRAS)]'
	touch $@

# One thread: the demo's matrices are small, and on a busy machine two threads that wait for each other cost far more.
demo: $(if $(wildcard $(STAMP)),setup,$(DEMO_STAMP))
	OMP_NUM_THREADS=1 $(BIN)/itp demo

test: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2

lint: setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright --pythonpath $(BIN)/python

check: lint test

clean:
	rm -rf .venv build dist .pytest_cache .ruff_cache .hypothesis
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
