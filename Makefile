# Everything runs from .venv, which `setup` makes; needed on the machine: make and Python 3.11 or newer.
PYTHON ?= python3
ARGS ?=
TIMES ?= 10
BIN := .venv/bin
STAMP := .venv/.complete
DEMO := .venv/.demo

.DEFAULT_GOAL := help
.PHONY: test-pooler test-postgres reliability-failover help setup setup-browser-and-node demo test test-repeat lint bench bench-quick catalogues advisories build constraints clean reliability reliability-receiver reliability-servers sequence-law mutate fuzz-queue fuzz-mappings fuzz-api corpora test-typescript validate-api docs reference test-browser budget recordings pictures chromium
.SUFFIXES:
export PIP_DISABLE_PIP_VERSION_CHECK := 1

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-20s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(STAMP) ## make .venv with everything that demo, tests and lint need

# The demo needs a quarter of what the tests do: the server and its dependencies, pinned by constraints.txt.
$(DEMO): constraints.txt pyproject.toml
	@[ -e $(STAMP) ] || { echo "demo: making .venv with the server alone (half a minute)"; \
		$(PYTHON) -m venv .venv && mkdir -p build && grep '==' constraints.txt | sed 's/ *\\$$//' > build/pins.txt \
		&& $(BIN)/python -m pip install --quiet --constraint build/pins.txt -e ".[server]"; }
	@touch $@

$(STAMP): constraints.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed; name it: make setup PYTHON=python3.12"; exit 1; }
	@echo "setup: making .venv with the pinned packages of constraints.txt (a minute or two)"
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --require-hashes -r constraints.txt
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@
	@echo "setup: done, $(BIN)/esimhooks is there"

demo: $(DEMO) ## show the whole product working on this machine (ARGS="--for 20s")
	@$(BIN)/esimhooks demo $(ARGS)

# Tests start more than a hundred servers, each of which would compile all of its modules where no bytecode is kept.
test test-repeat: export PYTHONDONTWRITEBYTECODE :=

test: $(STAMP) ## run the tests (ARGS="tests/store -x")
	$(BIN)/pytest -n logical --dist worksteal $(ARGS)

test-repeat: $(STAMP) ## run tests TIMES times in fresh orders until a run fails (ARGS="tests/system" TIMES=10 LOAD=1)
	@$(BIN)/python tools/repeat_tests.py --times $(TIMES) $(if $(SEED),--seed $(SEED)) $(if $(filter-out 0,$(LOAD)),--load) -- $(ARGS)

reliability: $(STAMP) ## break the server on purpose for half an hour and count (ARGS="--kills 10")
	$(BIN)/python -m reliability $(ARGS)

# npm puts its packages beside each package.json; the locks name no registry, so any mirror will do.
%/node_modules/.complete: %/package-lock.json
	@command -v npm >/dev/null || { echo "Node 20 or newer with npm is needed for this target only"; exit 1; }
	@echo "installing the pinned packages of $*/package-lock.json"
	@cd $* && npm ci --ignore-scripts --no-progress --silent
	@touch $@

# Before Node 22.13 the inbox needs better-sqlite3, which is compiled here: the only package with a script of its own.
sdk/typescript/node_modules/.sqlite: sdk/typescript/node_modules/.complete
	@cd sdk/typescript && { node -e 'require("node:sqlite")' 2>/dev/null || npm rebuild better-sqlite3 --silent; }
	@touch $@

sdk/typescript/dist/cjs/package.json: sdk/typescript/node_modules/.complete $(wildcard sdk/typescript/src/*.ts sdk/typescript/src/*/*.ts)
	cd sdk/typescript && npm run --silent build

examples/node/nest/build/main.js: examples/node/nest/main.ts examples/node/node_modules/.complete sdk/typescript/dist/cjs/package.json
	cd examples/node && npx tsc --project nest

examples/next/.next/BUILD_ID: $(wildcard examples/next/*.js) examples/next/node_modules/.complete sdk/typescript/dist/cjs/package.json
	cd examples/next && NEXT_TELEMETRY_DISABLED=1 npx next build

RECIPES := examples/express/node_modules/.complete examples/node/nest/build/main.js examples/next/.next/BUILD_ID
# Needs npm, and chromium, which is installed where it is missing; nothing else does.
setup-browser-and-node: $(STAMP) chromium tests/browser/node_modules/.complete tools/validate_api/node_modules/.complete tools/validate_api/.venv/.complete sdk/typescript/node_modules/.sqlite $(RECIPES) ## install what tests in a browser and on Node need besides

test-typescript: $(STAMP) sdk/typescript/node_modules/.sqlite $(RECIPES) ## test what runs on Node: the TypeScript package and the recipes
	cd sdk/typescript && npm test
	$(BIN)/pytest tests/node $(ARGS)

# The generator has an environment of its own: it holds libraries back that the command line needs newer.
tools/validate_api/.venv/.complete: tools/validate_api/requirements.txt
	@echo "installing the pinned packages of tools/validate_api/requirements.txt"
	@$(PYTHON) -m venv tools/validate_api/.venv
	@tools/validate_api/.venv/bin/pip install --quiet --require-hashes -r tools/validate_api/requirements.txt
	@touch $@

validate-api: $(STAMP) tools/validate_api/node_modules/.complete tools/validate_api/.venv/.complete ## let Redocly and AsyncAPI's parser judge the documents, and call a server with clients made of them
	$(BIN)/pytest tests/documents $(ARGS)

.PHONY: chromium
chromium:
	@command -v chromium >/dev/null || { echo "installing Debian's chromium"; \
		$$([ "$$(id -u)" = 0 ] || echo sudo) sh -c 'apt-get update -qq && apt-get install -y -qq chromium' >/dev/null; }

test-browser: $(STAMP) chromium tests/browser/node_modules/.complete ## go through the dashboard with a real browser, chromium (needs npm)
	$(BIN)/pytest tests/browser --timeout 150 $(ARGS)

catalogues: $(STAMP) ## compile the texts of the pages in other languages, and say which lack a translation
	$(BIN)/python tools/catalogues.py

test-pooler: $(STAMP) ## the system tests through PgBouncer in transaction mode (apt-get install pgbouncer)
	TEST_THROUGH_POOLER=1 $(BIN)/pytest tests/system $(ARGS)

test-postgres: $(STAMP) ## the tests of storage, intake and the system on another PostgreSQL (POSTGRES=/usr/lib/postgresql/15/bin)
	TEST_POSTGRES=$${POSTGRES:?the folder of its programs} $(BIN)/pytest tests/store tests/ingest tests/system $(ARGS)

reliability-failover: $(STAMP) ## kill, cut off and switch over a primary kept by Patroni under load, 60 times (an hour; root; apt-get install postgresql patroni etcd-server)
	$(BIN)/python -m reliability --variant patroni --name patroni --kills 60 --minutes 90 --rate 20 $(ARGS)

reliability-receiver: $(STAMP) sdk/typescript/node_modules/.sqlite sdk/typescript/dist/cjs/package.json ## kill the receivers for Python and Node 200 times under load, their inboxes going away 20 times, SQLite and PostgreSQL (minutes)
	$(BIN)/python reliability/receiver_kills.py sqlite --report reliability/results/receiver-sqlite.md $(ARGS)
	$(BIN)/python reliability/receiver_kills.py postgresql --report reliability/results/receiver-postgresql.md $(ARGS)
	$(BIN)/python reliability/receiver_kills.py sqlite --receiver node --report reliability/results/receiver-node-sqlite.md $(ARGS)
	$(BIN)/python reliability/receiver_kills.py postgresql --receiver node --report reliability/results/receiver-node-postgresql.md $(ARGS)

reliability-servers: $(STAMP) ## send 2,000 events to receivers in gunicorn, uWSGI and Celery, which fork and recycle processes (minutes)
	$(BIN)/python -m reliability.receiver_servers --report reliability/results/receiver-servers.md $(ARGS)

fuzz-api: $(STAMP) ## send 20,000 generated requests to all of the API and write a report (ARGS="--requests 500 --seed 1")
	$(BIN)/python -m reliability.api_fuzz $(ARGS)

corpora: $(STAMP) ## send all of JSONTestSuite and the Big List of Naughty Strings to every operation and field, half a million addresses to the gate (minutes)
	CORPORA=whole $(BIN)/pytest tests/web/test_corpora.py tests/delivery/test_corpora.py --timeout 1800 $(ARGS)

sequence-law: $(STAMP) ## send random batches cut in every way and compare what comes of them (EXAMPLES=2000)
	SEQUENCE_EXAMPLES=$${EXAMPLES:-2000} $(BIN)/pytest tests/ingest/test_sequence.py -n logical $(ARGS)

mutate: $(STAMP) ## put small defects into intake and rules one by one and see which ones the tests miss (ARGS="--mutants 150")
	@$(BIN)/python tools/mutate.py $(ARGS)

fuzz-queue: $(STAMP) ## compare the delivery queue with its model for long (QUEUE_EXAMPLES=1000 is some ten minutes)
	QUEUE_EXAMPLES=$${QUEUE_EXAMPLES:-1000} $(BIN)/pytest tests/store/test_queue_model.py $(ARGS)

fuzz-mappings: $(STAMP) ## send 100,000 generated bodies through every shipped document of a provider, each at most 1 ms (ARGS="--bodies 5000 --seed 2")
	$(BIN)/python -m reliability.mapping_fuzz $(ARGS)

lint: $(STAMP) ## check format, style, types, the direction of imports, sizes
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/python tools/sizes.py

advisories: $(STAMP) ## look whether a pinned package has a known weakness; without a network, say so
	$(BIN)/python tools/advisories.py

bench: $(STAMP) ## measure all scenarios (ARGS="drain steady", ARGS="trickle --against REV")
	$(BIN)/python -m benchmarks $(ARGS)

bench-quick: $(STAMP) ## measure with small sizes
	$(BIN)/python -m benchmarks --quick $(ARGS)

budget: $(STAMP) ## what the dashboard costs with 100 000 eSIMs and a million deliveries, against its budget (ARGS="--small")
	$(BIN)/python -m benchmarks.budget --out benchmarks/results/dashboard-budget.md $(ARGS)

docs: $(STAMP) ## build the documentation into build/site, strictly
	$(BIN)/python tools/reference.py --check
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

reference: $(STAMP) ## write the pages of the documentation that are made from code
	$(BIN)/python tools/reference.py

# Installed apart from .venv, so that nothing of this folder can stand in for what the wheel lacks.
build: $(STAMP) ## build wheel, source archive and bill of materials into dist/, and try the wheel in an empty environment
	rm -rf dist build/wheel
	$(BIN)/python -m hatchling build
	$(PYTHON) -m venv build/wheel
	grep '==' constraints.txt | sed 's/ *\\$$//' > build/pins.txt  # pip takes no wheel of our own beside hashes
	build/wheel/bin/python -m pip install --quiet --constraint build/pins.txt "$$(ls dist/*.whl)[server]"
	build/wheel/bin/esimhooks --version
	$(BIN)/cyclonedx-py environment build/wheel --pyproject pyproject.toml --output-reproducible --of JSON -o dist/esimhooks.cdx.json

recordings: $(STAMP) ## record docs/sessions: what real commands print (ARGS="listen")
	$(BIN)/python tools/record.py $(ARGS)

pictures: $(STAMP) ## take the pictures of the dashboard in README.md anew (needs chromium)
	$(BIN)/python -m tools.pictures
	$(BIN)/pytest -q tests/browser/test_outage.py tests/browser/test_portal.py --timeout 150
	cp artifacts/browser/outage-operator.png docs/images/dashboard-outage.png
	cp artifacts/browser/portal-in-a-frame.png docs/images/dashboard-portal.png

# --universal: one file for all platforms and Python versions. Packages may come from any registry or mirror, so none is named.
constraints: ## pin the packages of pyproject.toml anew in constraints.txt, and those of the image (needs uv)
	@command -v uv >/dev/null || { echo "uv is needed for this target only: https://docs.astral.sh/uv/"; exit 1; }
	uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --upgrade --generate-hashes \
		--no-annotate --no-header --no-emit-index-url --no-emit-find-links --output-file constraints.txt
	echo hatchling | uv pip compile pyproject.toml - --extra server --extra otel --universal --python-version 3.11 --generate-hashes \
		--constraint constraints.txt --no-annotate --no-header --no-emit-index-url --no-emit-find-links \
		--output-file deploy/constraints.txt
	cd tools/validate_api && uv pip compile requirements.in --universal --python-version 3.11 --upgrade --generate-hashes \
		--no-annotate --no-header --no-emit-index-url --no-emit-find-links --output-file requirements.txt

clean: ## remove what was built, reports and caches (.venv stays)
	rm -rf build dist artifacts .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache sdk/typescript/dist examples/node/nest/build examples/next/.next
	find src tests tools benchmarks reliability -name __pycache__ -type d -prune -exec rm -rf {} +
