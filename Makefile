# Each target is the only command a fresh machine needs: it makes .venv if there is none.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin

.PHONY: quickstart test lint clean

quickstart: $(VENV)/.installed
	$(BIN)/python -m experiments quickstart

test: $(VENV)/.dev
	KERAS_BACKEND=tensorflow $(BIN)/python -m pytest -n auto --dist worksteal
	KERAS_BACKEND=jax $(BIN)/python -m pytest -n auto --dist worksteal -m backend
	KERAS_BACKEND=torch $(BIN)/python -m pytest -n auto --dist worksteal -m backend

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

clean:
	rm -rf $(VENV) build dist *.egg-info

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: setup.cfg pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install -e .
	touch $@

$(VENV)/.dev: setup.cfg pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install -e ".[dev]"
	touch $@ $(VENV)/.installed
