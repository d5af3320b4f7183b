# Everything on a fresh machine: `make demo`, `make test`. Both install into .venv first, from this checkout's own files.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PACKAGES := core plugins/tabular plugins/graphs plugins/speech plugins/medical plugins/satellite
STAMP := $(VENV)/.installed

.PHONY: setup demo test lint type format bench docs clean
setup: $(STAMP)

$(STAMP): constraints.txt pyproject.toml core/pyproject.toml $(wildcard plugins/*/pyproject.toml)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch==2.13.0
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --group dev -e "./core[mlflow,report,sweep,ray]" $(addprefix -e ./,$(filter-out core,$(PACKAGES)))
	$(BIN)/python -m manyviews_speech.torchaudio_cpu
	touch $@

demo: setup
	$(BIN)/manyviews demo

# Two processes of one thread each: more would only wait for one another on two cores.
test: setup lint type
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadgroup --durations 10

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

type: setup
	$(BIN)/mypy

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: setup
	for script in benchmarks/[a-z]*.py; do OMP_NUM_THREADS=1 $(BIN)/python $$script --quick || exit 1; done

# Warnings are errors, nothing is fetched; the reference is made from the code that is installed. `make test` builds it, too.
docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	@echo "open site/index.html"

clean:
	rm -rf $(VENV) site build dist .pytest_cache .mypy_cache .ruff_cache
