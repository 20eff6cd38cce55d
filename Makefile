# Two commands matter: `make demo` and `make test`. Both set up .venv first, from pinned hashes.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
.DELETE_ON_ERROR:
# Containers often forbid it; then every process of a test run would compile all tests anew.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: demo test unit check fuzz limits soak bench lock clean

demo: .venv/.runtime
	$(BIN)/bearer-proxy demo

test: unit check
	$(BIN)/python -m pytest --numprocesses=3 --dist=loadgroup

# Policy and tokens alone, in less than a second; tests/unit.py keeps them so. The system's
# authorities, which aiohttp reads twice when it is imported, serve none of them.
unit: export SSL_CERT_FILE := /dev/null
unit: export SSL_CERT_DIR := /dev/null
unit: .venv/.dev
	$(BIN)/python -m pytest -c tests/unit.toml --rootdir=. tests/policy tests/tokens

check: .venv/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Fresh cases every time, of each kind as many; one that fails is printed with its bytes.
fuzz: export FUZZ_CASES ?= 200000
fuzz: .venv/.dev
	$(BIN)/python -m pytest tests/fuzz --numprocesses=2 --durations=4

# Slow clients, idle ones and too few descriptors, in full: 1,000 and 10,000 of them.
limits: export LIMITS_FULL := 1
limits: .venv/.dev
	$(BIN)/python -m pytest tests/limits --capture=no --durations=4

# Ten minutes of mixed traffic with faults; afterwards nothing may be left of it.
soak: export SOAK_SECONDS ?= 600
soak: .venv/.dev
	$(BIN)/python -m pytest tests/soak --capture=no

bench: .venv/.bench
	$(BIN)/python -m bench

# The one place that resolves versions; everything else installs what the lock files say.
lock:
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-annotate --no-header --quiet pyproject.toml -o requirements/runtime.txt
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-annotate --no-header --quiet --group build -o requirements/build.txt
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-annotate --no-header --quiet pyproject.toml --extra cache \
		-c requirements/runtime.txt -o requirements/cache.txt
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-annotate --no-header --quiet pyproject.toml --extra otel \
		-c requirements/runtime.txt -o requirements/otel.txt
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-annotate --no-header --quiet pyproject.toml --group dev -c requirements/runtime.txt \
		-o requirements/dev.txt
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-annotate --no-header --quiet --group bench -c requirements/dev.txt \
		-o requirements/bench.txt

clean:
	rm -rf .venv

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "bearer-proxy needs Python 3.11 or newer: make PYTHON=/path/to/python3.11 ..."; exit 1; }
	$(PYTHON) -m venv .venv

.venv/.runtime: .venv/bin/python requirements/runtime.txt requirements/build.txt pyproject.toml
	$(PIP) --require-hashes -r requirements/runtime.txt -r requirements/build.txt
	$(PIP) --no-deps --no-build-isolation --editable .
	$(BIN)/python -m compileall -q proxy
	@touch $@

# Other people's proxies, to be measured beside ours: as it is installed, without what tests need.
# (Whether `rich` is there, as a linter has it, is 30 ms of a start: structlog imports it.)
.venv/.bench: .venv/.runtime requirements/bench.txt
	$(PIP) --require-hashes -r requirements/bench.txt
	@touch $@

.venv/.dev: .venv/.runtime requirements/dev.txt
	$(PIP) --require-hashes -r requirements/dev.txt
	@touch $@
