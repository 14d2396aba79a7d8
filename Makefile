# Two commands do all the set-up on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STATIC := src/filterscope/report/static

.PHONY: demo test check page check-page browser clean

demo: $(BIN)/.installed
	$(BIN)/filterscope demo --out demo.atlas
	@echo "Open demo.report/index.html in a browser."

test: $(BIN)/.installed-dev browser
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

check: $(BIN)/.installed-dev check-page
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The page's program, from web/src into the package. What it writes is committed: who installs filterscope needs no Node.
page: web/node_modules
	cd web && npx tsc --noEmit && npx vitest run --reporter=dot && npx vite build

# That the committed program is the one of the source, and asks no other host for anything. Without Node nothing can be
# said; where CI is set, that is a failure.
check-page:
	@if ! command -v npm >/dev/null; then \
		echo "The page was not checked: that needs Node 20.19 or newer (https://nodejs.org)." >&2; \
		test -z "$$CI"; exit; \
	fi; set -e; \
	if grep -q '"resolved"' web/package-lock.json; then \
		echo "web/package-lock.json names the host that packages came from; run npm install in web/, which has .npmrc." >&2; \
		exit 1; \
	fi; \
	(cd web && npm ci --no-fund --no-audit --loglevel error && npx tsc --noEmit && npx vitest run --reporter=dot); \
	fresh=$$(mktemp -d); trap 'rm -rf "$$fresh"' EXIT; \
	(cd web && npx vite build --logLevel warn --outDir "$$fresh" --emptyOutDir); \
	if ! diff -rq "$$fresh" $(STATIC); then \
		echo "$(STATIC) is not what web/src builds to; run make page and commit it." >&2; exit 1; \
	fi; \
	if grep -ohE '(https?|wss?)://[^"`'"'"' )]+' $(STATIC)/app.js $(STATIC)/app.css | grep -v '^http://www\.w3\.org/'; then \
		echo "The page's program names another host; it must work without any." >&2; exit 1; \
	fi

web/node_modules: web/package-lock.json
	cd web && npm ci --no-fund --no-audit --loglevel error
	@touch $@

# The tests of the page need a browser; without one they are skipped, and say so.
browser:
	@for name in chromium chromium-browser google-chrome google-chrome-stable; do \
		command -v $$name >/dev/null && exit 0; \
	done; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		echo "Installing chromium for the tests of the page."; \
		(apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends chromium) \
			>/dev/null 2>&1 && exit 0; \
	fi; \
	echo "No browser: the tests of the page are skipped. Install chromium, e.g. with: sudo apt-get install chromium"

$(BIN)/uv:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv

$(BIN)/.installed: $(BIN)/uv pyproject.toml constraints.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable .
	@touch $@

$(BIN)/.installed-dev: $(BIN)/uv pyproject.toml constraints.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable '.[dev]'
	@touch $@ $(BIN)/.installed

clean:
	rm -rf $(VENV) demo.atlas demo.report web/node_modules
