# `make` lists what can be done. Nothing has to be installed first but Python 3.11+ and make.

bin := .venv/bin
fast := not browser and not slow

.DEFAULT_GOAL := help
.PHONY: help setup run page wheel lint check test screenshots bench mutants newest docs lock node clean dev test-tools

help:
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' Makefile

setup: .venv/run.stamp ## Install Genkan and the packages it runs on into .venv

run: setup page ## Start Genkan in development mode (ARGS="--port 0 --json" passes arguments on)
	@$(bin)/genkan dev $(ARGS)

page: ## Bundle MSAL JS for the playground, where Node.js is there
	@scripts/page.sh

wheel: setup page ## Build the wheel into dist/, with the built page in it
	$(bin)/python -m pip --quiet wheel --no-deps --no-build-isolation --wheel-dir dist .

lint: dev ## Check format, style, types and who imports whom
	$(bin)/ruff format --check .
	$(bin)/ruff check .
	$(bin)/mypy
	$(bin)/lint-imports --no-logo

check: lint ## The fast part of CI: lint, then the tests that need no browser
	$(bin)/pytest -q -n 2 --dist loadgroup -m "$(fast)" $(ARGS)

test: dev test-tools node page ## Install everything the tests need, then run them all (ARGS="-k name" passes arguments on)
	$(bin)/pytest -n 2 --dist loadgroup $(ARGS)

screenshots: dev test-tools node page ## Take the pictures of README and docs anew, from the running page
	$(bin)/python -m scripts.screenshots $(ARGS)

bench: dev ## Measure whole flows per second (ARGS passes arguments on)
	$(bin)/python -m bench.flows $(ARGS)

mutants: dev ## Break the rooms that decide in small places, and list what no test notices (ARGS="--rooms policy --each 40")
	@scripts/mutants.sh $(ARGS)

newest: dev ## Test the administration API against the newest msgraph-sdk, apart from .venv
	@scripts/newest-sdk.sh $(ARGS)

docs: dev ## Write the generated pages of docs/ anew (ARGS=--check only looks)
	$(bin)/python -m scripts.reference $(ARGS) && $(bin)/python -m scripts.rows $(ARGS) && $(bin)/python -m scripts.security $(ARGS) && $(bin)/python -m scripts.stories $(ARGS) && $(bin)/python -m scripts.openapi $(ARGS)

lock: ## Write the lock files anew (ARGS=--upgrade takes newer versions)
	scripts/lock.sh $(ARGS)

clean: ## Remove everything the other commands made, but not .genkan/ with its data
	rm -rf .venv node_modules build dist src/genkan/console/static/msal.js .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache .coverage*
	find src tests -name __pycache__ -type d -exec rm -rf {} +

dev: .venv/dev.stamp

test-tools: dev
	@scripts/test-tools.sh

node: test-tools node_modules/.package-lock.json

.venv/run.stamp: pyproject.toml requirements/build.txt requirements/run.txt scripts/venv.sh
	@scripts/venv.sh run

.venv/dev.stamp: .venv/run.stamp requirements/dev.txt
	@scripts/venv.sh dev

node_modules/.package-lock.json: package.json package-lock.json .npmrc | test-tools
	npm ci --no-progress --loglevel=error
	@touch $@
