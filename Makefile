# Every developer verb. `make app` and `make test` need nothing but Python 3.11 and make.
SHELL := /bin/bash
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
PORT ?= 8501
WORKERS ?= 2
export TF_CPP_MIN_LOG_LEVEL ?= 3

.PHONY: help app demo demo-seeds check test test-slow journey bench bench-long lock docs sizes clean

help: ## list the verbs
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

app: $(VENV)/product ## install what is missing and serve the studio on 127.0.0.1
	$(BIN)/python -m streamlit run app/main.py --server.port $(PORT)

demo: $(VENV)/product ## the whole chain on digits, headless, in a fresh home
	$(BIN)/python -m pipelines demo --out build/demo.json

demo-seeds: $(VENV)/product ## the demo over five seeds; its figures are in docs/results.md
	$(BIN)/python -m pipelines demo --seeds 5 --out build/demo-seeds.json

check: $(VENV)/development ## style, types, import contracts, generated docs
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m docs.generate --check

test: $(VENV)/development ## the default tests, about forty minutes on two cores, no network
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --durations=40 --durations-min=10

test-slow: $(VENV)/development ## the long tests
	$(BIN)/python -m pytest -m slow -n $(WORKERS) --dist loadgroup

journey: $(VENV)/development ## the studio in a real Chromium
	$(BIN)/python -m pytest -m journey -s

bench: $(VENV)/development ## speed as ratios, measured side by side
	$(BIN)/python -m benchmarks

bench-long: $(VENV)/development ## the Fashion-MNIST recipe, then the long tables; hours, goes on where it stopped
	test -s build/fashion_mnist_small.json || $(BIN)/python -m pipelines run fashion_mnist_small --json > build/fashion_mnist_small.json
	set -e; for table in $(LONG_TABLES); do $(BIN)/python -m benchmarks.$$table; done
LONG_TABLES := removal_table int8_zoo remedies_table haq_table binary_table defence_table ab_honesty

lock: $(VENV)/development ## renew the pins and hashes
	$(BIN)/uv pip compile $(LOCK) -c constraints.in requirements.in -o requirements.txt
	$(BIN)/uv pip compile $(LOCK) -c constraints.in requirements-dev.in -o requirements-dev.txt
	$(BIN)/uv pip compile $(LOCK) -c constraints.in --override cpu-override.in requirements-cpu.in -o requirements-cpu.txt
LOCK := --quiet --upgrade --generate-hashes --no-emit-index-url --no-annotate --no-header --python-version 3.11

docs: $(VENV)/product ## write the generated tables
	$(BIN)/python -m docs.generate

sizes: ## the ten longest modules, to look at in review
	@git ls-files '*.py' | xargs wc -l | sort -rn | sed -n 2,11p

clean: ## remove the environment and what was built
	rm -rf $(VENV) build

$(VENV)/product: requirements.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	@mkdir -p build && touch $@

$(VENV)/development: requirements-dev.txt $(VENV)/product
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@mkdir -p build && touch $@
