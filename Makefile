# `make demo`: from a fresh clone to an agent at work. `make check`: what must pass before a commit.
# PYTHON names the interpreter that .venv is made with (3.11 or later).
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: setup demo test lint check clean
.DELETE_ON_ERROR:

setup: $(STAMP)

# torch comes first and alone: the long download is then kept even when a later package cannot be installed. Byte code is
# compiled where a module is first imported (--no-compile): most of those installed never are.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo 'make setup: $(PYTHON) is older than 3.11: give another, as in make setup PYTHON=python3.12' >&2; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) install --no-compile -c constraints.txt torch
	$(PIP) install --no-compile -c constraints.txt -e '.[train,alfworld,scienceworld,textworld,serve,openai,export,report,dev]'
	touch $@

# One thread: the demo's matrices are small, and on a busy machine two threads that wait for each other cost far more.
demo: setup
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
