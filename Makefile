# `make` lists what there is. Every target does its own set-up.
.DEFAULT_GOAL := help
SHELL := /bin/sh

VENV ?= .venv
BIN := $(VENV)/bin
PYTEST_ARGS ?=
COVERAGE ?= yes
UV_COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-strip-extras \
	--no-emit-index-url --no-annotate --no-header pyproject.toml
BETTER_AUTH := tests/conformance/better_auth

.PHONY: help up demo test lint pytest format lock bench clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

up: $(VENV)/.local ## Start everything at http://127.0.0.1:8000 and :8001 (MOMENTUM_PORT, MARKET_AI_PORT change the ports)
	@exec $(BIN)/tandem up

demo: $(VENV)/.local ## Fill a demo user's account, also while `make up` runs
	@exec $(BIN)/tandem demo momentum

test: lint pytest ## Every check and every test

lint: $(VENV)/.dev ## ruff, mypy --strict, the import contracts, squawk over the migrations, and the files that deploy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict src
	$(BIN)/lint-imports
	$(BIN)/tandem migrate momentum --lint --all
	$(BIN)/tandem migrate market-ai --lint --all
	$(BIN)/yamllint --strict .
	$(BIN)/shellcheck build.sh scripts/* .ci/run
	$(BIN)/hadolint Dockerfile
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec compose.yaml
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/kubernetes-validate --strict --quiet $(filter-out %/kustomization.yaml,$(wildcard deploy/kubernetes/*.yaml))
	$(BIN)/tandem doctor render render.yaml deploy/render-free.yaml

pytest: $(VENV)/.dev $(BETTER_AUTH)/node_modules/.installed ## The tests alone; PYTEST_ARGS adds arguments, COVERAGE= measures none
	@scripts/system-packages redis-server wrk nginx
	$(BIN)/python -m coverage erase
	$(BIN)/pytest -n 2 --dist worksteal $(if $(COVERAGE),--cov --cov-report=) $(PYTEST_ARGS)
	$(if $(COVERAGE),$(BIN)/python -m coverage report --fail-under=90)

format: $(VENV)/.dev ## Rewrite the source the way the checks want it
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: $(VENV)/.dev ## Compile requirements*.txt anew from pyproject.toml
	$(UV_COMPILE) -o requirements.txt
	$(UV_COMPILE) --extra local -o requirements-local.txt
	$(UV_COMPILE) --extra dev -o requirements-dev.txt

bench: $(VENV)/.dev ## Measure against a raw server on the same database; writes docs/performance.md
	@scripts/system-packages wrk
	$(BIN)/python -m benchmarks

clean: ## Remove virtual environments and caches; the data in .tandem stays
	rm -rf .venv .venv-* .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .schemathesis \
		htmlcov .coverage .coverage.* $(BETTER_AUTH)/node_modules
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# What stands in $(VENV): .local is what `up` needs, .dev all of that and the tools.
$(VENV)/.local: requirements-local.txt pyproject.toml scripts/make-venv
	@scripts/make-venv $(VENV) requirements-local.txt
	@touch $@

$(VENV)/.dev: requirements-dev.txt pyproject.toml scripts/make-venv
	@scripts/make-venv $(VENV) requirements-dev.txt
	@touch $(VENV)/.local $@

$(BETTER_AUTH)/node_modules/.installed: $(BETTER_AUTH)/package-lock.json
	@scripts/system-packages node npm
	npm ci --prefix $(BETTER_AUTH) --no-audit --no-fund
	@touch $@
