# Every target sets up what it needs: Python >= 3.11, git and make are enough.
PYTHON ?= python3
VENV ?= .venv
# Pins of the development environment; .ci/run tests without them, too.
PIP_OPTIONS ?= -c .ci/constraints.txt
TESTS ?= tests
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet $(PIP_OPTIONS)
# As many processes as there are cores, at most 4: each imports torch and trains its shared models.
# A module's tests stay together, since many share what they set up.
PYTEST := $(BIN)/python -m pytest -n logical --maxprocesses 4 --dist loadscope

.PHONY: help demo test test-benchmarks lint types docs tutorials clean

help:
	@echo "make demo | test | test-benchmarks | lint | types | docs | tutorials | clean    (PYTHON=python3.12 picks another Python)"

demo: $(VENV)/.installed
	$(BIN)/python benchmarks/demo.py --out demo

test: $(VENV)/.installed
	$(PYTEST) $(TESTS)

test-benchmarks: $(VENV)/.installed
	$(PYTEST) -m "benchmarks and not slow" tests/benchmarks

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed
	$(BIN)/mypy

docs: $(VENV)/.installed-docs
	rm -rf docs/generated
	$(BIN)/sphinx-build -E -W --keep-going -q -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

tutorials: $(VENV)/.installed-docs
	$(BIN)/jupyter execute --inplace tutorials/*.ipynb

clean:
	rm -rf demo tutorials/*.scmomer docs/_build docs/generated build dist .pytest_cache .mypy_cache .ruff_cache

$(VENV)/.installed: pyproject.toml .ci/constraints.txt
	@$(PYTHON) -c 'import sys; ok = sys.version_info >= (3, 11); ok or sys.exit("scmomer needs Python >= 3.11, $(PYTHON) is " + sys.version.split()[0] + ". Try: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(INSTALL) torch
	$(INSTALL) -e . --group dev
	@touch $@

$(VENV)/.installed-docs: $(VENV)/.installed
	$(INSTALL) --group doc
	@touch $@
