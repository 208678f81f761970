# Every target sets up what it needs: Python >= 3.11, git and make are enough.
PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(BIN)/pip install --quiet -c .ci/constraints.txt

.PHONY: help demo test lint types docs tutorials clean

help:
	@echo "make demo | test | lint | types | docs | tutorials | clean    (PYTHON=python3.12 picks another Python)"

demo: .venv/.installed
	$(BIN)/python benchmarks/demo.py --out demo

test: .venv/.installed
	$(BIN)/python -m pytest

lint: .venv/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/.installed
	$(BIN)/mypy

docs: .venv/.installed-docs
	rm -rf docs/generated
	$(BIN)/sphinx-build -E -W --keep-going -q -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

tutorials: .venv/.installed-docs
	$(BIN)/jupyter execute --inplace tutorials/*.ipynb

clean:
	rm -rf demo docs/_build docs/generated build dist .pytest_cache .mypy_cache .ruff_cache

.venv/.installed: pyproject.toml .ci/constraints.txt
	@$(PYTHON) -c 'import sys; ok = sys.version_info >= (3, 11); ok or sys.exit("scmomer needs Python >= 3.11, $(PYTHON) is " + sys.version.split()[0] + ". Try: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(INSTALL) torch
	$(INSTALL) -e . --group dev
	@touch $@

.venv/.installed-docs: .venv/.installed
	$(INSTALL) --group doc
	@touch $@
