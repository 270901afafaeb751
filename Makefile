# make demo      a simulated device and a control point over real sockets
# make check     lint, types, layers and the fast suite: no system packages, nothing beyond loopback
# make test      everything, with the system packages that the interop tests need
# make help      the other targets

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN_STAMP := $(VENV)/.runtime-installed
DEV_STAMP := $(VENV)/.dev-installed
MUTANTS_STAMP := $(VENV)/.mutants-installed
FUZZ_STAMP := $(VENV)/.fuzz-installed
DOCS_STAMP := $(VENV)/.docs-installed
RELEASE_STAMP := $(VENV)/.release-installed
PIP := $(BIN)/python -m pip --disable-pip-version-check

DEMO_ARGS ?=
PYTEST_ARGS ?=
BENCH_ARGS ?=
FAULTS_ARGS ?=
SOAK_ARGS ?=
MUTANTS_ARGS ?=
MATRIX_ARGS ?=
PROVE_ARGS ?=
FUZZ_ARGS ?= all --seconds 33
# Gates; see CONTRIBUTING.md.
MUTATION_SCORE ?= 85

TYPED := src $(wildcard tests/typing/*.py) $(wildcard examples/*.py) $(wildcard examples/cookbook/*.py) $(wildcard tools/*.py) $(wildcard fuzz/*.py)

.DEFAULT_GOAL := help
.PHONY: help venv demo lint format types layers fast check coverage peers suite test matrix bench faults docs pictures \
	soak crashes mutants fuzz states command-pages conformance conformance-check prove-clauses requirements changelog sbom dist clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' Makefile | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 16

# --- environment ------------------------------------------------------------------------

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo 'propchange needs Python 3.11 or later: make PYTHON=python3.12 …'; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(RUN_STAMP): requirements/runtime.txt pyproject.toml | $(BIN)/python
	$(PIP) install --quiet --require-hashes -r requirements/runtime.txt
	$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(DEV_STAMP): requirements/dev.txt pyproject.toml | $(BIN)/python
	$(PIP) install --quiet --require-hashes -r requirements/dev.txt
	$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch $(RUN_STAMP) $@

$(MUTANTS_STAMP): requirements/mutants.txt | $(DEV_STAMP)
	$(PIP) install --quiet --require-hashes -r requirements/mutants.txt
	@touch $@

$(FUZZ_STAMP): requirements/fuzz.txt | $(DEV_STAMP)
	$(PIP) install --quiet --require-hashes -r requirements/fuzz.txt
	@touch $@

$(DOCS_STAMP): requirements/docs.txt | $(DEV_STAMP)
	$(PIP) install --quiet --require-hashes -r requirements/docs.txt
	@touch $@

$(RELEASE_STAMP): requirements/release.txt | $(DEV_STAMP)
	$(PIP) install --quiet --require-hashes -r requirements/release.txt
	@touch $@

venv: $(DEV_STAMP) ## the development environment, in .venv

# --- to use it --------------------------------------------------------------------------

demo: $(RUN_STAMP) ## DEMO_ARGS are passed on
	$(BIN)/propchange demo $(DEMO_ARGS)

# --- checks -----------------------------------------------------------------------------

lint: $(DEV_STAMP) ## ruff, rules and format
	$(BIN)/ruff check
	$(BIN)/ruff format --check

format: $(DEV_STAMP) ## let ruff mend what it can
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

types: $(DEV_STAMP) ## mypy --strict over the package, tests/typing, examples, tools and fuzz
	$(BIN)/mypy $(TYPED)

layers: $(DEV_STAMP) ## rooms look only downwards; core, http and upnp do no I/O
	$(BIN)/lint-imports --no-logo

# Real programs, faults and attacks on both ends take minutes. `make test` has them.
NOT_FAST := tests/interop tests/recovery tests/compat tests/hostile tests/benchmarks
# Few examples of each property; a build of CI, and who sets HYPOTHESIS_PROFILE, has more.
FAST_PROFILE := $(or $(HYPOTHESIS_PROFILE),$(if $(filter true,$(CI)),ci,fast))
# pytest compiles 400 files in each worker if it may not keep them. They are kept in the environment,
# even if PYTHONDONTWRITEBYTECODE is set.
KEPT := PYTHONDONTWRITEBYTECODE= PYTHONPYCACHEPREFIX=$(abspath $(VENV))/pycache
fast: $(DEV_STAMP) ## the tests of the rooms, but the slow ones
	$(KEPT) HYPOTHESIS_PROFILE=$(FAST_PROFILE) $(BIN)/python -m pytest -q -n auto --dist loadgroup -m 'not slow' $(addprefix --ignore=,$(NOT_FAST)) $(PYTEST_ARGS)

# The tests wait for sockets now and then, and lint, types and layers run meanwhile. What they print
# comes last, in one piece.
check: $(DEV_STAMP) ## before each commit: lint, types, layers and the fast tests
	@$(MAKE) --no-print-directory lint types layers > $(VENV)/checks.log 2>&1 & checks=$$!; \
	status=0; $(MAKE) --no-print-directory fast || status=1; \
	wait $$checks || status=1; cat $(VENV)/checks.log; exit $$status

# Each room's own tests cover its every line and branch: tests of other rooms do not count.
coverage: $(DEV_STAMP) ## 100 % of core by tests/core, and of http by tests/http
	$(BIN)/coverage run --data-file=.coverage.core --source=src/propchange/core -m pytest -q tests/core
	$(BIN)/coverage report --data-file=.coverage.core
	$(BIN)/coverage run --data-file=.coverage.http --source=src/propchange/http -m pytest -q tests/http
	$(BIN)/coverage report --data-file=.coverage.http

states: $(DEV_STAMP) ## write docs/states.md, which is not committed, from the tables of core
	$(BIN)/python tools/states_doc.py

conformance: $(DEV_STAMP) ## write docs/conformance.md, which is not committed
	$(BIN)/python tools/conformance.py

conformance-check: $(DEV_STAMP) # fails when a MUST or SHOULD has no test, or a mark binds nobody
	$(BIN)/python tools/conformance.py --check

# Two pages that the code makes. They are made anew if what they are made of has changed.
docs/conformance.md: docs/clauses.toml tools/conformance.py $(shell find tests -name '*.py' 2>/dev/null) \
		| $(DEV_STAMP)
	$(BIN)/python tools/conformance.py

docs/states.md: tools/states_doc.py $(shell find src/propchange/core -name '*.py' 2>/dev/null) | $(DEV_STAMP)
	$(BIN)/python tools/states_doc.py

# -n: a link that leads nowhere is an error. Nothing is fetched from the network.
docs: $(DOCS_STAMP) docs/conformance.md docs/states.md ## the documentation site, in build/site
	$(BIN)/sphinx-build -c docs -b html -d build/doctrees -j 2 -n -W --keep-going -q . build/site

command-pages: $(DEV_STAMP) ## write docs/command.md and man/propchange.1 from the help of the command
	$(BIN)/python tools/command_pages.py

# They are committed, because README.md shows one of them. Each run has other times.
pictures: $(DEV_STAMP) ## draw docs/pictures, the command in a terminal; as root, on Linux
	$(BIN)/python tools/recovery_timelines.py
	$(BIN)/python tools/pictures.py

# Also PROVE_ARGS=--all, or the ids of clauses.
prove-clauses: $(DEV_STAMP) ## take 30 rules out at random; the tests of each must notice
	$(BIN)/python tools/prove_clauses.py $(PROVE_ARGS)

peers: ## the system packages and the C programs of the interop tests
	tools/install-peers
	@! pkg-config --exists libupnp gupnp-1.6 gio-unix-2.0 || $(MAKE) -C tests/interop/peers

# What `coverage` has not run already. Most of these tests wait for sockets most of the time.
WORKERS := 4
# These have network namespaces, and fixtures for a whole file: each file stays with one worker.
BY_FILE := tests/interop tests/recovery tests/compat
# Tests of sockets have time limits, and four of them run at a time. What has failed is run once
# more, alone; what fails again is broken.
ONCE_MORE = { [ $$? = 1 ] && echo "failed; once more, alone:" \
	&& $(BIN)/python -m pytest -v --last-failed --last-failed-no-failures none $(PYTEST_ARGS); }
suite: $(DEV_STAMP) $(RELEASE_STAMP)
	$(BIN)/python -m pytest -q -n $(WORKERS) --dist loadgroup --ignore=tests/core --ignore=tests/http \
		$(addprefix --ignore=,$(BY_FILE)) $(PYTEST_ARGS) || $(ONCE_MORE)
	$(BIN)/python -m pytest -q -n $(WORKERS) --dist loadfile $(BY_FILE) $(PYTEST_ARGS) || $(ONCE_MORE)

test: ## everything
	$(MAKE) lint types layers conformance docs
	$(MAKE) coverage
	$(MAKE) peers
	$(MAKE) suite

# Each Python has its environment in .venvs/. MATRIX_ARGS are other targets, such as `check`.
matrix: ## the fast tests, and the wheel, on every Python of this machine (pyenv, uv, PATH)
	$(PYTHON) tools/matrix.py $(MATRIX_ARGS)

bench: $(DEV_STAMP) ## propchange against its peers, in one run; BENCH_ARGS are passed on
	@status=0; \
	$(BIN)/python -m benchmarks --write $(BENCH_ARGS) || status=1; \
	$(BIN)/python -m benchmarks --write --without-speed --without-peers $(BENCH_ARGS) || status=1; \
	exit $$status

faults: $(DEV_STAMP) peers ## faults against C devices and four control points, measured; as root
	$(BIN)/python -m lab.faults $(FAULTS_ARGS)

soak: $(DEV_STAMP) ## 20 minutes of faults on real sockets, both runtimes; draws docs/soak.svg
	$(BIN)/python -m lab.soak --write $(SOAK_ARGS)

crashes: $(DEV_STAMP) ## kill both ends in mid-traffic, 100 times; they agree after each restart
	$(BIN)/python -m lab.crashes $(CRASHES_ARGS)

# mutmut keeps what it found of an unchanged module in mutants/; `make clean` forgets it.
mutants: $(DEV_STAMP) $(MUTANTS_STAMP) ## mutation tests of the judging modules of core, and their gate
	$(BIN)/mutmut run $(MUTANTS_ARGS)
	$(BIN)/python tools/mutation_score.py --at-least $(MUTATION_SCORE)

# Also FUZZ_ARGS='requests --seconds 3600'; see fuzz/README.md.
fuzz: $(DEV_STAMP) $(FUZZ_STAMP) ## random bytes for every reader of a peer's bytes, ten minutes
	$(BIN)/python -m fuzz $(FUZZ_ARGS)

# --- upkeep -----------------------------------------------------------------------------

PIP_COMPILE := pip-compile --quiet --generate-hashes --no-header --strip-extras --allow-unsafe \
	--no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-emit-options

requirements: ## pin and hash anew; needs pip-tools and Python 3.11
	cd requirements && $(PIP_COMPILE) --upgrade --output-file=runtime.txt runtime.in
	cd requirements && $(PIP_COMPILE) --upgrade --output-file=dev.txt dev.in
	cd requirements && $(PIP_COMPILE) --upgrade --output-file=mutants.txt mutants.in
	cd requirements && $(PIP_COMPILE) --upgrade --output-file=fuzz.txt fuzz.in
	cd requirements && $(PIP_COMPILE) --upgrade --output-file=docs.txt docs.in
	cd requirements && $(PIP_COMPILE) --upgrade --output-file=release.txt release.in

changelog: $(RELEASE_STAMP) ## print the news of the next version, from changelog.d
	$(BIN)/towncrier build --draft --version next

sbom: $(RELEASE_STAMP) ## what the package runs on, in build/sbom.json (CycloneDX)
	mkdir -p build
	$(BIN)/cyclonedx-py requirements requirements/runtime.txt --pyproject pyproject.toml \
		--output-reproducible --output-file build/sbom.json

dist: $(RELEASE_STAMP) ## sdist and wheel in dist/, checked and installed in fresh environments
	rm -rf dist
	$(BIN)/python -m build --no-isolation
	PROPCHANGE_DIST=dist $(BIN)/python -m pytest -v tests/test_packages.py $(PYTEST_ARGS)

clean: ## all that can be made again, but the environment
	rm -rf build dist mutants fuzz/work .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache \
		.hypothesis .import_linter_cache docs/conformance.md docs/states.md docs/reference
	rm -rf benchmarks/native/bin benchmarks/peers/bin
	$(MAKE) -C tests/interop/peers clean
