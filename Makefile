# make install: the environment.  make demo: every area end to end on embedded systems.
# make test: lint, types, tests.  make sweep: the same at every place and size.  make ui: Dagster and the pages, until Ctrl-C.
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready-$(shell cat constraints.txt pyproject.toml | cksum | cut -d' ' -f1)
# The local AWS of the tests: a tool in an environment of its own.
AWS_PINS := fillrate_assets_tests/fixtures/aws_server.txt
AWS_SERVER := $(VENV)/aws-server
AWS_READY := $(AWS_SERVER)/.ready-$(shell cksum < $(AWS_PINS) | cut -d' ' -f1)

export DAGSTER_HOME := $(CURDIR)
export FILLRATE_HOME ?= $(CURDIR)/.fillrate
export DAGSTER_EVENT_BATCH_SIZE ?= 1000
# `make test` has two parts, and the tests wait for other processes often enough.
MAKEFLAGS += --jobs=2
# Where it is set, each process that a test starts compiles the package again.
unexport PYTHONDONTWRITEBYTECODE

# Four processes on two cores: many tests wait for other processes. Polars needs no threads beside them, and memory that
# is freed stays with its process: to give it back and fetch it again costs a twentieth.
MALLOC := MALLOC_ARENA_MAX=1 MALLOC_TRIM_THRESHOLD_=1000000000 MALLOC_MMAP_THRESHOLD_=1000000000
PYTEST := POLARS_MAX_THREADS=1 $(MALLOC) $(BIN)/pytest -n 4 --dist worksteal

# COVERAGE=1, as CI has it, also measures which branches are taken, and fails below the floor of pyproject.toml.
ifdef COVERAGE
PYTEST += --cov --cov-report=term:skip-covered
endif

.PHONY: install demo check test pytest sweep ui constraints settings workflow functions sbom deploy diff destroy clean

install: $(READY) $(AWS_READY)

demo: $(READY)
	$(BIN)/fillrate tour

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/dagster definitions validate -w workspace.yaml

test: check pytest

pytest: $(READY) $(AWS_READY)
	$(PYTEST)

# Before a release, and at night: what `make test` shows at a few places, everywhere.
sweep: check $(AWS_READY)
	$(PYTEST) --sweep

ui: $(READY)
	@$(BIN)/fillrate serve & pages=$$!; trap 'kill $$pages 2>/dev/null; wait $$pages' EXIT; trap 'exit 130' INT TERM; \
	$(BIN)/dagster dev -w workspace.yaml

# Pins every package with its hashes; run after changing the dependencies.
constraints: $(READY)
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --python-version 3.11 \
		--all-extras --group build pyproject.toml --output-file constraints.txt
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --python-version 3.11 \
		--group pyproject.toml:aws-server --output-file $(AWS_PINS)
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --python-version 3.11 \
		--group pyproject.toml:sbom --output-file $(SBOM_PINS)
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --python-version 3.11 --constraint constraints.txt \
		--group pyproject.toml:functions --output-file infrastructure/functions.txt

# Writes the reference of settings from the code.
settings: $(READY)
	$(BIN)/fillrate settings --update docs/reference/settings.md

# Writes the workflow of orders from its table.
workflow: $(READY)
	$(BIN)/python -c "from fillrate_assets.fulfillment.rules import order_workflow as w; print(w.dump_asl())" \
		> deploy/order-workflow.asl.json

# Builds the code of the functions of Lambda.
functions: $(READY)
	$(BIN)/python -m infrastructure.function_code build/functions

# Lists what is shipped, with licences: the image as deploy/Dockerfile installs it, and the functions of Lambda.
SBOM_PINS := deploy/sbom.txt
EXTRAS ?= $(shell sed -n 's/^ARG EXTRAS="\(.*\)"/\1/p' deploy/Dockerfile)
IN_IMAGE := build/image/bin/python

sbom: $(READY)
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python build/sbom-tools
	$(BIN)/uv pip install --quiet --require-hashes --python build/sbom-tools --requirement $(SBOM_PINS)
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python build/image
	$(BIN)/uv pip install --quiet --python build/image --constraint constraints.txt --extra deploy $(EXTRAS:%=--extra %) \
		--requirement pyproject.toml setuptools
	build/sbom-tools/bin/cyclonedx-py environment $(IN_IMAGE) --pyproject pyproject.toml --output-reproducible \
		--output-file build/sbom-image.json
	build/sbom-tools/bin/cyclonedx-py requirements infrastructure/functions.txt --pyproject pyproject.toml --output-reproducible \
		--output-file build/sbom-functions.json
	build/sbom-tools/bin/pip-licenses --python $(IN_IMAGE) --from mixed --format csv --with-urls --output-file build/licences.csv

# A whole environment in AWS: make deploy ENV=dev. What it is made of, and how to choose: docs/how-to/deploy-to-aws.md.
CDK := PATH="$(CURDIR)/$(BIN):$$PATH" infrastructure/node_modules/.bin/cdk
IN_ENVIRONMENT = --all --app "python -m infrastructure.app" -c environment=$(or $(ENV),$(error set ENV to dev or prod))

deploy: functions infrastructure/node_modules
	$(CDK) deploy $(IN_ENVIRONMENT) --require-approval never --concurrency 2

diff: functions infrastructure/node_modules
	$(CDK) diff $(IN_ENVIRONMENT)

destroy: functions infrastructure/node_modules
	$(CDK) destroy $(IN_ENVIRONMENT)

infrastructure/node_modules: infrastructure/package-lock.json
	npm ci --prefix infrastructure
	touch $@

clean:
	rm -rf $(VENV) .fillrate build infrastructure/node_modules

# Compiles on all cores, where pip uses one; without, each process that a test starts compiles Dagster again.
$(READY):
	test -x $(BIN)/python || python3 -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps --no-compile --requirement constraints.txt
	$(BIN)/python -m compileall -q -j 0 $(VENV)/lib
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	rm -f $(VENV)/.ready-*
	touch $@

$(AWS_READY): $(READY)
	python3 -m venv --clear --without-pip $(AWS_SERVER)
	$(BIN)/python -m pip --python $(AWS_SERVER) install --quiet --disable-pip-version-check --require-hashes --no-deps --requirement $(AWS_PINS)
	touch $@
