# Everything one does with Drydock from a shell. `make help` lists it.
PYTHON ?= python3
BIN := .venv/bin
UV_LOCK := $(BIN)/uv pip compile --universal --generate-hashes --python-version 3.11 --no-emit-index-url -q
PATHS := config images cleanup tests bench manage.py

.DEFAULT_GOAL := help
TEMPLATES = $$(find templates -name "*.html")

.PHONY: help setup develop demo run test quick lint types format bench translations assets lock clean

help: ## list what there is to make
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | awk -F '\t' '{printf "  make %-14s %s\n", $$1, $$2}'

setup: .venv/.runtime build/.vendor ## install what running Drydock needs; quick the second time
	@$(BIN)/python -m config.translations

develop: setup .venv/.development ## install what tests and checks need as well

demo: ## see it work: private engines, sample images, users and policies (needs root)
	@$(PYTHON) config/install.py demo
	@$(MAKE) --no-print-directory setup
	@exec $(BIN)/python -m config.demo

run: ## run Drydock on this machine, without sample content and without root
	@$(MAKE) --no-print-directory setup
	@exec $(BIN)/python -m config.run

test: ## set up and run every check and every test
	@$(PYTHON) config/install.py test
	@$(MAKE) --no-print-directory develop
	@exec $(BIN)/python -m tests.run

quick: develop ## run the tests that need neither an engine nor a browser
	@$(BIN)/pytest -q -m "not engine and not browser"

lint: develop ## check style, templates and migrations
	@$(BIN)/python -m tests.run lint

types: develop ## check the types
	@$(BIN)/mypy config images cleanup tests bench

format: develop ## bring the code into the agreed form
	@$(BIN)/ruff check --fix -q $(PATHS) && $(BIN)/ruff format -q $(PATHS); $(BIN)/djade --target-version 5.2 $(TEMPLATES)

bench: develop ## measure against the budgets; see docs/performance.md
	@$(BIN)/python -m bench

translations: develop ## collect the strings to translate, then compile the translations
	@$(PYTHON) config/install.py translations
	@$(BIN)/python manage.py makemessages --locale zh_Hans --no-wrap --no-location --ignore node_modules --ignore build --ignore .venv
	@$(BIN)/python -m config.translations

assets: ## fetch again what the pages load in the browser
	@rm -f build/.vendor
	@$(MAKE) --no-print-directory build/.vendor

lock: develop ## resolve the dependencies anew
	@$(UV_LOCK) requirements.in -o requirements.txt
	@$(UV_LOCK) requirements-dev.in -o requirements-dev.txt
	@$(UV_LOCK) requirements-node.in -o requirements-node.txt

clean: ## remove everything that was installed or made, except the data
	rm -rf .venv node_modules build .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find config -name '*.mo' -delete

$(BIN)/python:
	@$(PYTHON) config/install.py run
	@$(PYTHON) -m venv .venv

# A venv made without pip, or broken half-way, is made again.
.venv/.runtime: requirements.txt | $(BIN)/python
	@echo "Installing Drydock's Python packages ..."
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear .venv
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --require-hashes -r requirements.txt
	@touch $@

.venv/.development: requirements-dev.txt .venv/.runtime
	@echo "Installing what tests and checks need ..."
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@touch $@

node_modules/.package-lock.json: package-lock.json | .venv/.runtime
	@echo "Fetching what the pages load ..."
	@$(BIN)/python config/install.py assets
	@touch $@

build/.vendor: config/assets.py node_modules/.package-lock.json
	@$(BIN)/python -m config.assets
	@touch $@
