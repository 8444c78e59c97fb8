# What a stranger needs: Python 3.11 or newer, and make. Everything else is installed into .venv by the first
# target that needs it, and again when the lock or pyproject.toml change.

PYTHON ?= python3
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed-with-$(notdir $(PYTHON))
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install up demo test check bench growth soak scaling flood faults documents docs lock clean

help: ## Show the targets.
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1	\2/p' Makefile | expand -t 18
	@echo
	@echo "With another Python: PYTHON=python3.12 make demo. With arguments: make test ARGS='-k rollback'."

install: $(STAMP) ## Install everything into .venv; the targets below do it by themselves.

up: $(STAMP) ## Run everything on this machine, until Ctrl-C: NATS on 4222, HTTP on 8350, state in .library.
	@exec $(BIN)/library up $(ARGS)

demo: $(STAMP) ## See it at work, in about a minute: deploys, a refusal, a rollback, a hot swap, on servers of its own.
	@exec $(BIN)/python examples/demo.py $(ARGS)

test: $(STAMP) ## Run all tests, on real servers that they start and stop.
	@exec $(BIN)/python -m pytest -n 3 --durations=10 $(ARGS)

check: $(STAMP) ## Check style, types, layers, generated documents, and links between documents.
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m worker.entrypoints.gateway.documents --check
	$(BIN)/python docs/lifecycle.py --check
	$(BIN)/python docs/tables.py --check
	$(BIN)/python docs/reference.py --check
	$(BIN)/python docs/typescript.py --check
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --site-dir build/site

docs: $(STAMP) ## Build the documentation into site/.
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

bench: $(STAMP) ## Measure what a deploy costs, beside others on this machine; first look: ARGS=--quick.
	@exec $(BIN)/python -m benchmarks.bench $(ARGS)

growth: $(STAMP) ## Measure each request on a million deployments and on a thousand; takes ten minutes.
	@exec $(BIN)/python -m benchmarks.growth $(ARGS)

soak: $(STAMP) ## Deploy at full load for ten minutes, and see whether the rate falls or tables swell.
	@exec $(BIN)/python -m benchmarks.soak $(ARGS)

scaling: $(STAMP) ## Deploy with one worker and with two, on one nats-server and on three; takes three minutes.
	@exec $(BIN)/python -m benchmarks.scaling $(ARGS)

flood: $(STAMP) ## Send it as much as this machine can, for a minute, and count the answers.
	@exec $(BIN)/python -m benchmarks.flood $(ARGS)

faults: $(STAMP) ## Break every part of it under load, and count what is lost, doubled or out of order.
	@exec $(BIN)/python -m tests.faults $(ARGS)

documents: $(STAMP) ## Write anew what is generated: docs/reference, docs/lifecycle.md, README.md's tables.
	$(BIN)/python -m worker.entrypoints.gateway.documents
	$(BIN)/python docs/lifecycle.py
	$(BIN)/python docs/tables.py
	$(BIN)/python docs/reference.py
	$(BIN)/python docs/typescript.py

# The second lock is what the image holds: no test tools, no embedded servers, the same versions.
COMPILE = $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --no-emit-index-url \
	--no-emit-find-links --no-annotate

lock: $(STAMP) ## Renew the locks from pyproject.toml; with ARGS=--upgrade to the newest versions.
	$(BIN)/pip install --quiet 'uv>=0.9'
	$(COMPILE) $(ARGS) --extra embedded --extra telemetry --group dev -o requirements.lock pyproject.toml
	$(COMPILE) --constraint requirements.lock --extra telemetry -o requirements-runtime.lock pyproject.toml

clean: ## Remove .venv and caches; the state of `make up` in .library stays.
	rm -rf "$$(readlink -f $(VENV))" $(VENV) dist build .hypothesis .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Root's PostgreSQL runs as another account, which must reach its program. Where a folder above is closed to
# others (a home of root's is), the environment lies in /var/tmp, and .venv is a link to it.
$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "make: Python 3.11 or newer is needed, and $(PYTHON) is not that;" \
			"name one that is, such as: PYTHON=python3.12 make $(MAKECMDGOALS)" >&2; exit 1; }
	@umask 022; set -e; \
	closed=; folder=$$PWD; \
	while [ "$$folder" != / ]; do \
		[ -n "$$(find "$$folder" -maxdepth 0 -perm -001)" ] || closed=yes; folder=$$(dirname "$$folder"); \
	done; \
	if [ "$$(id -u)" = 0 ] && [ -n "$$closed" ] && [ ! -e $(VENV) ]; then \
		place=$$(mktemp -d /var/tmp/library-venv-XXXXXX); chmod 755 "$$place"; ln -sfn "$$place" $(VENV); \
	fi; \
	clear=; version='import sys; print(sys.version_info[:2])'; \
	[ "$$($(BIN)/python -c "$$version" 2>/dev/null)" = "$$($(PYTHON) -c "$$version")" ] || clear=--clear; \
	echo "Installing into $(VENV), once ..."; \
	$(PYTHON) -m venv $$clear "$$(readlink -f $(VENV))"; \
	$(BIN)/pip install --quiet --require-hashes --only-binary :all: -r requirements.lock; \
	$(BIN)/pip install --quiet --no-deps --no-build-isolation -e .; \
	touch $@
