# Every target sets up what it needs in .venv: all it asks for is Python 3.11 or newer, make and git.
# Another interpreter: make test PYTHON=python3.12

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet -c constraints.txt

PYTEST := $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder
# Most of a run is compiling. Where no last digit is at stake programs are compiled with less effort, in a third of the
# time; never with less precise arithmetic.
QUICKLY := XLA_FLAGS="--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false"

.PHONY: test thorough as-compiled smoke demo docs table format clean

test: .venv/ready-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy & types=$$!; $(PYTEST) -m "rounding and not smoke and not thorough"; tests=$$?; wait $$types && exit $$tests
	$(QUICKLY) $(PYTEST) -m "not rounding and not smoke and not thorough"

thorough: .venv/ready-test  # the longest tests, which `make test` leaves out
	$(PYTEST) -m "thorough and not smoke"

as-compiled: .venv/ready-test  # before a release: what `make test` compiles quickly, compiled as users' programs are
	$(PYTEST) -m "not rounding and not smoke and not thorough"

smoke: .venv/ready-test  # whole runs of scripts and verbs
	$(PYTEST) -m smoke

demo: .venv/ready
	$(BIN)/assay demo

docs: .venv/ready-docs  # every example is run, then the site is built into site/
	$(BIN)/python examples/run.py
	$(BIN)/mkdocs build --quiet --strict
	@echo "site/index.html"

table: .venv/ready
	$(BIN)/python -m assay.benchmarks.tables.readme_table --write docs/table.md --write-short README.md

format: .venv/ready-test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf .venv build dist site .pytest_cache .mypy_cache .ruff_cache .coverage htmlcov

# A stamp is written when an installation is complete and removed before the next one starts. So a missing stamp means
# that the last installation was interrupted, and the environment is made anew.
define start
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "assay needs Python 3.11 or newer: say which one with make $(firstword $(MAKECMDGOALS) test) PYTHON=..." >&2; exit 1; }
	@test -e .venv/ready || { echo "Making .venv"; $(PYTHON) -m venv --clear .venv; }
	@rm -f .venv/ready .venv/ready-test .venv/ready-docs
	@echo "Installing (a minute or two the first time)"
endef

.venv/ready: pyproject.toml constraints.txt
	$(start)
	@$(PIP) -e .
	@touch $@

.venv/ready-test: pyproject.toml constraints.txt
	$(start)
	@$(PIP) -e '.[test]'
	@touch .venv/ready $@

.venv/ready-docs: pyproject.toml constraints.txt
	$(start)
	@$(PIP) -e '.[test,docs]'
	@touch .venv/ready .venv/ready-test $@
