# Two commands do all the set-up on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo test check clean

demo: $(BIN)/.installed
	$(BIN)/filterscope demo --out demo.atlas
	@echo "Open the pictures in demo.atlas/sheets, or read demo.atlas/atlas.sqlite."

test: $(BIN)/.installed-dev
	$(BIN)/python -m pytest

check: $(BIN)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(BIN)/uv:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv

$(BIN)/.installed: $(BIN)/uv pyproject.toml constraints.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable .
	@touch $@

$(BIN)/.installed-dev: $(BIN)/uv pyproject.toml constraints.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable '.[dev]'
	@touch $@ $(BIN)/.installed

clean:
	rm -rf $(VENV) demo.atlas
