# The front door: `make demo`, `make test`, `make check`, `make bench`, `make sim SEED=7`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
VIGIL_DATA ?= $(abspath $(wildcard ../shared/data))
VIGIL_VECTORS ?= $(abspath $(wildcard ../shared/vectors))
export VIGIL_DATA VIGIL_VECTORS
ARGS ?=
SEED ?=

.PHONY: help setup demo test test-all check format bench sim lock outside clean

help:
	@echo "make demo      the whole system on this machine, with TLS, on free ports (ARGS='--for 60 --homes 4')"
	@echo "make test      the tests, under five minutes, nothing to install beside Python"
	@echo "make test-all  adds brokers, browsers, outside software, kills and long simulations"
	@echo "make check     formatting, lint, types"
	@echo "make bench     benchmarks, each as a ratio to a named baseline"
	@echo "make sim       one simulated home in virtual time (SEED=7; without it, 200 seeds)"

setup: $(VENV)/.ready

$(VENV)/.ready: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Vigil needs Python 3.11 or later: make PYTHON=python3.12 ...")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

demo: setup
	$(BIN)/vigil demo $(ARGS)

test: setup
	$(BIN)/python -m pytest -q -m "not slow and not broker and not browser and not outside and not faults" -n 2 --dist loadfile $(ARGS)

test-all: setup outside
	$(BIN)/python -m pytest -q -m "slow or broker or browser or outside or faults" $(ARGS)

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: setup
	$(BIN)/python -m bench $(ARGS)

sim: setup
	$(BIN)/python -m tests.simulation $(if $(SEED),--seed $(SEED)) $(ARGS)

outside: setup
	PYTHON=$(PYTHON) sh tests/outside/install.sh

# The lock carries hashes and no index address. Needs pip-tools in the environment that runs it.
lock:
	pip-compile --quiet --all-extras --generate-hashes --allow-unsafe --strip-extras \
	  --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-header -o requirements.lock pyproject.toml

clean:
	rm -rf $(VENV) .outside build dist *.egg-info
