# Every target makes the environment it needs: `make test` works on a fresh clone.
# PYTHON picks the interpreter (3.10 or newer), ARGS is handed on: `make demo ARGS=--short`.

PYTHON ?= python3
WORKERS ?= 3
ARGS ?=
FIRST ?= 0
SEEDS ?= 10000

# Tests start hundreds of interpreters: each would compile all of ML-Dash, and each worker all tests.
unexport PYTHONDONTWRITEBYTECODE

BIN := .venv/bin
STAMP := .venv/.installed
DEMO := .venv/.demo
POSTGRES := .venv/.postgresql
CHROMIUM := .venv/.chromium
PROXIES := .venv/.proxies
INTEGRATIONS := .venv/integrations/.installed

PAGES := dashboard
BUILT := ml_dash/server/dashboard/dist/index.html
# the sources, without what npm and the build put beside them
SOURCES := $(shell find $(PAGES)/src -type f) $(addprefix $(PAGES)/,index.html package.json package-lock.json tsconfig.json vite.config.ts)

.PHONY: audit bench bench-compare bench-setup coverage dashboard demo docs format integrations lint pictures setup sweep test test-all test-dashboard types

setup: $(STAMP)

demo: $(DEMO) dashboard
	$(BIN)/python docs/examples/digits.py $(ARGS)

# Tests wait for the disk more than for anything else: `make test` has its files in memory, where there is room for them (they
# take one gigabyte). `make test-all` has them on a disk, as users do.
SCRATCH ?= $(shell [ -w /dev/shm ] && [ "$$(df -Pk /dev/shm | awk 'NR == 2 { print $$4 }')" -gt 4000000 ] && echo /dev/shm || echo /tmp)

# All that is quick, and a part of what is not. `make test-all` runs everything.
test: $(STAMP) $(POSTGRES) $(CHROMIUM) $(PROXIES) dashboard
	@scratch=$$(mktemp -d $(SCRATCH)/pytest-XXXXXX) && trap 'rm -rf "$$scratch"' EXIT INT TERM && \
		PYTEST_DEBUG_TEMPROOT=$$scratch $(BIN)/pytest -n $(WORKERS) --dist worksteal -m 'not slow' $(ARGS)

test-all: $(STAMP) $(POSTGRES) $(CHROMIUM) $(PROXIES) $(INTEGRATIONS) dashboard
	$(BIN)/pytest -n $(WORKERS) --dist worksteal $(ARGS)

# Far more seeds than the tests take, for a night: `make sweep FIRST=10000 SEEDS=50000`
sweep: $(STAMP)
	SIMULATION_FIRST=$(FIRST) SIMULATION_SEEDS=$(SEEDS) UPLOAD_FIRST=$(FIRST) UPLOAD_SEEDS=$(SEEDS) \
		FUZZ_FIRST=$(FIRST) FUZZ_SEEDS=$(SEEDS) \
		$(BIN)/pytest -n $(WORKERS) --dist worksteal -m 'simulation or fuzz' tests/simulation tests/upload tests/fuzz $(ARGS)

coverage: $(STAMP) $(POSTGRES) $(CHROMIUM) $(PROXIES) dashboard
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -n $(WORKERS) --dist worksteal $(ARGS)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

# The pages, into the package. Without Node everything else works, and the server says what to install.
dashboard:
	@if command -v npm >/dev/null; then $(MAKE) --no-print-directory $(BUILT); \
	else echo "The dashboard's pages are not built: that needs Node 20 or newer, with npm"; fi

$(BUILT): $(SOURCES)
	cd $(PAGES) && npm ci --no-audit --no-fund --loglevel=error && npm run build --silent
	@touch $@

test-dashboard: $(BUILT)
	cd $(PAGES) && npm run check --silent && npm test --silent

# The types of the API's bodies, of the OpenAPI document. They are committed, because the package is built without Python's
# packages; a test holds that they are current.
types-dashboard: $(STAMP) $(BUILT)
	$(BIN)/python -c 'import json; from ml_dash.server.api.contract import document; print(json.dumps(document()))' | node $(PAGES)/types.mjs

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(STAMP)
	$(BIN)/mypy

# Known faults of what is installed, as far as it can be asked here; see docs/security.md. `make audit ARGS=--offline` forgives
# what cannot be asked, and prints it.
audit: $(STAMP)
	$(BIN)/python tools/audit.py $(ARGS)

docs: $(STAMP)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# The pictures of the pages that the docs show, of a sweep that is trained for them: two minutes.
pictures: $(STAMP) $(CHROMIUM) $(BUILT)
	$(BIN)/python tools/pictures.py $(ARGS)

bench: $(STAMP)
	$(BIN)/python benchmarks/hot_path.py $(ARGS)

# Other trackers, each in an environment of its own below .bench/: some 2 GB. Then: make bench-compare
bench-setup: $(STAMP)
	$(BIN)/python benchmarks/compare.py --setup $(ARGS)

bench-compare: $(STAMP)
	$(BIN)/python benchmarks/compare.py $(ARGS)

define make_venv
@$(PYTHON) -c 'import sys; sys.version_info >= (3, 10) or sys.exit("ML-Dash needs Python 3.10 or newer; name one: make PYTHON=python3.12")'
$(PYTHON) -m venv .venv
endef
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check

# What the demo needs, without the developers' tools: half a gigabyte less, and a minute. And nothing is compiled that is never
# imported: that would take longer than all the rest.
$(DEMO): pyproject.toml
	$(make_venv)
	$(INSTALL) --no-compile --editable '.[demo]'
	@touch $@

# The developers' tools, and with them what the demo needs.
$(STAMP): pyproject.toml
	$(make_venv)
	$(INSTALL) --editable '.[dev]'
	@touch $(DEMO) $@

# The tests of the server run on PostgreSQL too, one of their own in a temporary directory: Debian's package `postgresql`.
# Without apt-get, or the rights to use it, they are skipped and say so.
$(POSTGRES): $(STAMP)
	@if [ -z "$$(ls /usr/lib/postgresql/*/bin/initdb 2>/dev/null)" ] && command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then \
		echo "Installing Debian's package postgresql, for the tests of the server"; \
		(apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends postgresql) >/dev/null \
			|| echo "It cannot be installed: tests that need it are skipped"; \
	fi
	@touch $@

# The tests of the dashboard walk its pages with Debian's package `chromium`; without it they are skipped and say so.
$(CHROMIUM): $(STAMP)
	@if ! command -v chromium >/dev/null && command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then \
		echo "Installing Debian's package chromium, for the tests of the dashboard"; \
		(apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium) >/dev/null \
			|| echo "It cannot be installed: tests that need it are skipped"; \
	fi
	@touch $@

# Adapters are tested with the frameworks themselves, in an environment of their own: their packages would decide what versions ours
# are, and mypy would judge by them. A minute and 1.5 GB; what cannot be installed leaves its tests skipped. wandb, beside which
# adapters are held, lies in a directory of its own, since frameworks that find it log to it unasked.
integrations: $(INTEGRATIONS)

$(INTEGRATIONS): tests/integrations/requirements.txt tests/integrations/wandb.txt $(STAMP)
	$(BIN)/python -m venv .venv/integrations
	@.venv/integrations/bin/python -m pip install --quiet --disable-pip-version-check --no-compile \
		--requirement tests/integrations/requirements.txt --editable '.[image,plot,video]' \
		|| echo "Frameworks cannot be installed: the tests of their adapters are skipped"
	@.venv/integrations/bin/python -m pip install --quiet --disable-pip-version-check --no-compile --upgrade \
		--target .venv/integrations/wandb --requirement tests/integrations/wandb.txt \
		|| echo "wandb cannot be installed: what our adapters log is not held beside what its integrations do"
	@touch $@

# The tests of docs/deploy run its files with Debian's nginx and Caddy; without them they are skipped and say so. Nothing is
# started: RUNLEVEL=1 says so to what installs them.
$(PROXIES): $(STAMP)
	@if command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ] && ! { command -v nginx && command -v caddy; } >/dev/null; then \
		echo "Installing Debian's packages nginx-light and caddy, for the tests of docs/deploy"; \
		(apt-get update -qq && RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends nginx-light caddy) \
			>/dev/null || echo "They cannot be installed: tests that need them are skipped"; \
	fi
	@touch $@
