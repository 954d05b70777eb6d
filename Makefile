# Everything runs in .venv, made by scripts/bootstrap from requirements.lock.
# PYTHON=… chooses the interpreter, ARGS=… is handed to what the target runs, WORKERS=… says how many
# processes run the tests side by side: as many as there are cores if unset, none but pytest itself if 0.

VENV := .venv
BIN := $(VENV)/bin
PY := $(BIN)/python
INSTALLED := $(VENV)/.installed
WORKERS ?= logical

.DEFAULT_GOAL := help
.PHONY: help install serve test third-party lint types cover raise-floor bench profile soak format lock clean

help: ## Show the targets
	@sed -n 's/^\([a-z][a-z-]*\):.*## \(.*\)/\1 \2/p' $(MAKEFILE_LIST) \
	    | while read -r target what; do printf '  make %-12s %s\n' "$$target" "$$what"; done

install: $(INSTALLED) ## Make .venv, or bring it up to date

$(INSTALLED): pyproject.toml requirements.lock scripts/bootstrap
	@scripts/bootstrap
	@touch $@

serve: $(INSTALLED) ## Serve on loopback; ARGS="--port 9000" is handed on
	@$(BIN)/acprelay serve $(ARGS)

test: third-party lint types cover ## Run every check that CI runs
	@echo "make: every check has passed"

third-party: $(INSTALLED) ## Install the programs of others that tests use
	@scripts/third-party || echo "make: without all of them, their tests are skipped" >&2

lint: $(INSTALLED) ## Check format, lint rules and layering
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(BIN)/lint-imports --no-logo

types: $(INSTALLED) ## Check types
	$(PY) -m mypy

cover: $(INSTALLED) ## Run the tests and hold coverage to its gates
	$(PY) -m coverage erase
	$(PY) -m coverage run -m pytest --numprocesses $(WORKERS) --dist worksteal $(ARGS)
	$(PY) -m coverage combine --quiet
	$(PY) -m coverage json --quiet -o .coverage-report.json
	$(PY) scripts/coverage_gates.py .coverage-report.json

raise-floor: $(INSTALLED) ## After make cover: hold on to the coverage that was reached
	$(PY) scripts/coverage_gates.py --raise .coverage-report.json

bench: $(INSTALLED) ## Measure the relay beside its peers; ARGS="--quick --only stream" and more
	@$(PY) -m benchmarks $(ARGS)

profile: $(INSTALLED) ## Show where a message's time goes; ARGS="--only stream" and more
	@$(PY) -m benchmarks.profiling $(ARGS)

soak: $(INSTALLED) ## Kill a relay under load for five minutes; ARGS="--seconds 3600 --seed 7"
	$(PY) -m acprelay.testing.soak --kill-relay --seconds 300 $(ARGS)

format: $(INSTALLED) ## Format the code and fix what can be fixed
	$(PY) -m ruff format .
	$(PY) -m ruff check --fix .

lock: $(INSTALLED) ## Write requirements.lock from pyproject.toml; ARGS=--upgrade for newer versions
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	    --no-header --no-annotate --group dev pyproject.toml -o requirements.lock $(ARGS)

clean: ## Remove .venv, caches and reports
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis \
	    .coverage* .bench dist build
	find src tests scripts benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
