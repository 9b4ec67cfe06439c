# Two commands: `make repro` (install, run the whole pipeline on its demo, say where to look) and `make test`.
# Needed: python3 (3.11 to 3.13), pip, git, make. Another interpreter: make repro PYTHON=python3.12

PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

# The stages are `python -m stages.<name>`: inside of it the environment's Python comes first.
IN_VENV := PATH="$(CURDIR)/$(BIN):$$PATH"
# No tool phones home (pipeline/quiet.py says the same to those that are started in another way).
export DVC_NO_ANALYTICS := 1
export DVC_STUDIO_OFFLINE := 1
export DO_NOT_TRACK := 1
export HF_HUB_DISABLE_TELEMETRY := 1
export DISABLE_TELEMETRY := 1
export PREFECT_SERVER_ANALYTICS_ENABLED := false
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help setup repro test test-fast lint lock
.DEFAULT_GOAL := help

help:
	@echo "make repro      install, run every stage that is not up to date on params.yaml, say where to look"
	@echo "make test       install, run all tests"
	@echo "make test-fast  all tests but the slow ones"
	@echo "make lint       ruff and mypy"
	@echo "make lock       write requirements.lock anew from pyproject.toml"
	@echo "make setup      only make .venv and install the locked environment and the project"

repro: setup
	@$(BIN)/python -m pipeline check
	@$(IN_VENV) python -m dvc repro
	@$(BIN)/python -m pipeline look

test: setup
	@$(IN_VENV) python -m pytest

test-fast: setup
	@$(IN_VENV) python -m pytest -m "not slow"

lint: setup
	@$(BIN)/ruff check .
	@$(BIN)/mypy

# Exact versions with hashes and without addresses, good for every supported Python and platform.
lock: setup
	@$(BIN)/python -m pip install --quiet --quiet uv
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-strip-extras --extra dev --no-header \
		pyproject.toml -o requirements.lock
	@echo "lock         requirements.lock is new; run the tests, then commit it"

setup: $(STAMP)

# The stamp holds a hash of what is installed from, so that a file that was only touched (another branch and back) costs nothing.
SUPPORTED := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
HASH = cat pyproject.toml requirements.lock | $(BIN)/python -c 'import hashlib, sys; print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest())'

$(STAMP): pyproject.toml requirements.lock
	@if [ -f $(STAMP) ] && [ "$$($(HASH) 2>/dev/null)" = "$$(cat $(STAMP))" ]; then touch $(STAMP); \
	else $(MAKE) --no-print-directory install; fi

# pip's own words go to .venv/pip.log: nobody needs them when all is well, and its errors are shown when not.
# --no-deps: the lock is the whole environment. pip before 24 otherwise looks for the newest release of a package that is
# needed both with and without an extra (sqlalchemy, sqlalchemy[asyncio]) before it comes to its line, and stops there.
# A Python without ensurepip (Debian's) makes an environment without pip; its own pip then installs into it.
.PHONY: install
install:
	@if ! $(BIN)/python -c '$(SUPPORTED)' 2>/dev/null; then \
		$(PYTHON) -c '$(SUPPORTED)' 2>/dev/null || { echo "setup: $(PYTHON) is $$($(PYTHON) --version 2>/dev/null || echo not here)," \
			"expected Python 3.11 to 3.13; install one and name it: make repro PYTHON=python3.12" >&2; exit 1; }; \
		echo "setup        making .venv with $$($(PYTHON) --version)"; \
		$(PYTHON) -m venv --clear .venv >/dev/null 2>&1 || $(PYTHON) -m venv --clear --without-pip .venv; fi
	@rm -f $(STAMP); started=$$(date +%s); log=.venv/pip.log; \
	pip="$(BIN)/python -m pip"; $$pip --version >/dev/null 2>&1 || pip="$(PYTHON) -m pip --python $(BIN)/python"; \
	echo "setup        installing $$(grep -c '==' requirements.lock) locked packages (torch among them): some minutes and 7 GB of disk the first time"; \
	{ $$pip install --require-hashes --no-deps -r requirements.lock && $$pip install --no-deps --no-build-isolation -e .; echo "exit $$?"; } 2>&1 | \
		tee $$log | awk '/^(Collecting|Processing) / && ++n % 40 == 0 { print "setup        " n " packages fetched"; fflush() } \
			/^Installing collected packages: [^,]*,/ { print "setup        unpacking them"; fflush() }'; \
	if [ "$$(tail -n 1 $$log)" != "exit 0" ]; then grep -E '^ *ERROR' $$log | head -n 5 >&2; \
		echo "setup: pip could not install (its whole log: $$log); mend the cause and run the same command again" >&2; exit 1; fi; \
	$(HASH) >$(STAMP); echo "setup        done in $$(( $$(date +%s) - started )) s"
