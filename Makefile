# One word per task. Everything lives in .venv; nothing outside the checkout is touched.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DEV_STAMP := $(VENV)/.dev-installed
KUBERNETES_TESTS := tests/kubernetes

.PHONY: demo test test-fast test-truth test-kubernetes cluster check format docs bench clean

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "aiperf needs Python 3.11 or newer; call: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)

$(STAMP): $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(DEV_STAMP): $(STAMP) dev-requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement dev-requirements.txt
	@touch $@

demo: $(STAMP)  ## install, start the built-in server, run a benchmark against it, show the results
	$(BIN)/python examples/demo.py

test: test-fast test-truth  ## all tests that need no cluster

test-fast: $(DEV_STAMP)
	$(BIN)/python -m pytest tests/unit tests/service --numprocesses 2 --quiet
	$(BIN)/python -m pytest tests/system --numprocesses 2 --quiet

test-truth: $(DEV_STAMP)  ## those that measure, and so have the machine to themselves
	$(BIN)/python -m pytest tests/truth --quiet

test-kubernetes: $(DEV_STAMP)  ## tests on a real cluster, built and started here (root; docs/testing-kubernetes.md)
	$(BIN)/python -m pytest $(KUBERNETES_TESTS) --numprocesses 3 --dist loadgroup --quiet

cluster: $(DEV_STAMP)  ## only what test-kubernetes would build first: programs and images
	$(BIN)/python -m tests.kubernetes.cluster build

check: $(DEV_STAMP)  ## style, types, layers, generated pages
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m aiperf.plan.reference --check docs/flags.md docs/plan.schema.json
	$(BIN)/python -m aiperf.metrics.reference docs/metrics.md --check
	$(BIN)/python -m aiperf.deploy.kubernetes.rights --check docs/kubernetes-rights.md examples/kubernetes-role.yaml
	$(BIN)/python -m aiperf.deploy.protocol_page --check docs/protocol.md

docs: $(DEV_STAMP)  ## writes the generated pages anew
	$(BIN)/python -m aiperf.plan.reference docs/flags.md docs/plan.schema.json
	$(BIN)/python -m aiperf.metrics.reference docs/metrics.md
	$(BIN)/python -m aiperf.deploy.kubernetes.rights docs/kubernetes-rights.md examples/kubernetes-role.yaml
	$(BIN)/python -m aiperf.deploy.protocol_page docs/protocol.md

format: $(DEV_STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(DEV_STAMP)  ## the figures of benchmarks/README.md
	$(BIN)/python benchmarks/run_all.py

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis dist
