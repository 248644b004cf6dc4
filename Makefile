# Python 3.11 or newer, make and a C compiler are all this needs; everything lands in .venv.

PYTHON  ?= python3
WORKERS ?= 2
ORDER   ?= files
MODEL   ?= models/ridge.py
COMPARE ?= kkt,gp,random
SOLVE   ?= --budget 40 --seed 1
MINUTES ?= 60

VENV := .venv
BIN  := $(VENV)/bin
PY   := $(BIN)/python
PIP  := $(PY) -m pip --disable-pip-version-check --quiet install

# Each worker is a process of its own: linear algebra that starts more threads in each only makes them wait.
ONE_THREAD := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1
SHARED     := -n $(WORKERS) --dist worksteal $(if $(filter random,$(ORDER)),-p randomly)
PYTEST     := $(ONE_THREAD) $(PY) -m pytest $(SHARED)

.DEFAULT_GOAL := help
.PHONY: help venv install cyipopt solve test test-all test-versions slow lint typecheck adversary bench docs clean

help: ## say what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' Makefile

# The files below mark what is done, so that a second run starts at once; a change of pyproject.toml installs again.
$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "bilevel needs Python 3.11 or newer and $(PYTHON) is not: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	@touch $@

$(VENV)/.installed: $(VENV)/.made pyproject.toml
	@echo "installing bilevel and what it needs into $(VENV): a minute or two the first time"
	$(PIP) --editable .
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(PIP) --editable ".[test]"
	@touch $@

# Tried once: where it fails, the tool says why, the rest works, and `make cyipopt` tries again.
$(VENV)/.cyipopt-tried: $(VENV)/.installed
	@$(PY) -m bilevel.install_cyipopt || echo "(make goes on without cyipopt; make cyipopt tries again)"
	@touch $@

venv: $(VENV)/.made ## create .venv

install: $(VENV)/.installed $(VENV)/.cyipopt-tried ## install the package into .venv, and cyipopt where it can be built

cyipopt: $(VENV)/.installed ## build cyipopt against the Ipopt in the casadi wheel; fails where that fails
	$(PY) -m bilevel.install_cyipopt

solve: install ## solve models/ridge.py by several methods and compare (MODEL=, COMPARE=, SOLVE= change it)
	$(PY) -m bilevel.solve $(MODEL) --compare $(COMPARE) $(SOLVE)

# The fast suite runs even where a check before it fails: whoever reads the log wants both. Any failure fails the target.
test: install $(VENV)/.installed-test ## lint, format, types and the fast suite, the wheel among it (ORDER=random shuffles it)
	@failed=; \
	$(BIN)/ruff check . || failed="$$failed ruff-check"; \
	$(BIN)/ruff format --check . || failed="$$failed ruff-format"; \
	$(BIN)/mypy || failed="$$failed mypy"; \
	$(PYTEST) || failed="$$failed pytest"; \
	test -z "$$failed" || { echo "make test: failed:$$failed" >&2; exit 1; }

test-versions: ## the fast suite on the oldest dependencies declared, and on every Python that is found
	$(PYTHON) tests/versions.py $(SHARED)

slow: install $(VENV)/.installed-test ## the slow tests alone
	$(PYTEST) -m slow

test-all: test ## all tests, those against a Dask cluster, a PostgreSQL server and Optuna's own among them
	$(PIP) --editable ".[test,cluster,database]"
	$(PYTEST) -m slow

adversary: install $(VENV)/.installed-test ## random problems against every method for MINUTES=60; goes on where it stopped
	$(ONE_THREAD) $(PY) tests/adversary/run.py --minutes $(MINUTES)

lint: $(VENV)/.installed-test ## ruff, rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

typecheck: $(VENV)/.installed-test ## mypy --strict
	$(BIN)/mypy

bench: install $(VENV)/.installed-test ## every program in benchmarks/
	@for program in evaluation growth gradient exact search; do echo "== $$program"; $(PY) benchmarks/$$program.py || exit 1; done

docs: $(VENV)/.installed-test ## the pages of docs/ as a site in site/, their tables written anew from parts and models
	$(PY) docs/tools/write_pages.py
	NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict --quiet

clean: ## remove .venv, caches and builds
	rm -rf $(VENV) .versions build dist site .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
