# Short names for commands. `make help` lists them.
VENV := .venv
SERVICE_VENV := service/.venv
DEPLOY_VENV := deploy/.venv
# must be found before .venv is first in PATH
PYTHON := $(or $(PYTHON),$(shell command -v python3))
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
# so that it does not matter whether an environment is activated
export VIRTUAL_ENV := $(CURDIR)/$(VENV)

# version and revision of the service, for /model-info and the image's labels
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
GIT_REVISION ?= $(shell git describe --always --dirty --abbrev=40 --exclude='*' 2>/dev/null)

.DEFAULT_GOAL := help
.PHONY: batch feast test-feast model-is-there no-conflict help setup repro results data train verify publish promote fetch-champion mlflow-ui retrain uci drift-test drift-test-all serve docker-build docker-save docker-run docker-stop docker-logs check-tag wheel sbom model-archive changes release-files load-test test lint screenshots docs docs-links audit advisories-are-there requirements lock

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/ready ## make .venv with the locked packages (Python 3.11 to 3.13)

requirements: setup ## the same as setup

# uv is itself checked against the lock. It installs the rest in seconds; pip takes minutes.
$(VENV)/ready: requirements.lock service/assets.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
		|| { echo "error: Python 3.11, 3.12 or 3.13 is needed, $$($(PYTHON) --version) was found: make setup PYTHON=python3.11" >&2; exit 1; }
	@test ! -L $(VENV) || { echo "error: $(VENV) is a link, and what it points to would be emptied: remove the link first" >&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	awk '/^[^ ]/ {of_uv = /^uv==/} of_uv' requirements.lock > $(VENV)/uv.lock
	python -m pip install --quiet --require-hashes -r $(VENV)/uv.lock
	uv pip sync --quiet --require-hashes --compile-bytecode requirements.lock
	uv pip install --quiet --require-hashes --no-deps --compile-bytecode -r service/assets.lock
	uv pip install --quiet --no-deps --no-build-isolation --editable .
	@pwd -P > $@

# An environment has absolute paths: where the folder was moved or copied, it is made anew.
ifneq ($(shell cat $(VENV)/ready 2>/dev/null),$(shell pwd -P))
.PHONY: $(VENV)/ready
endif

repro: no-conflict ## set up, run the pipeline, show the metrics, register the model
	dvc repro
	@$(MAKE) --no-print-directory results publish

# DVC says where a conflict is; this says how to settle it.
no-conflict: setup
	@python -c 'from obesity_levels.errors import check_merged, run_stage; run_stage(check_merged)'

results: setup ## show the metrics as a table
	@obesity-levels results

data: no-conflict ## run the pipeline up to the model's input
	dvc repro check featurize

train: no-conflict ## run the pipeline up to the model
	dvc repro check train

verify: no-conflict ## rebuild everything by force; fail if a tracked number differs, and show by how much (TOLERANCE=0.001)
	dvc repro --force
	@obesity-levels verify $(if $(TOLERANCE),--tolerance $(TOLERANCE))

# If MLFLOW_TRACKING_URI is not set to a server, the registry is mlflow.db in this folder.
export MLFLOW_TRACKING_URI ?= sqlite:///mlflow.db

publish: setup ## register the model with MLflow, as challenger (EXP=name: an experiment; EXP=all: all of them)
	@obesity-levels publish $(if $(filter all,$(EXP)),--all-experiments,$(if $(EXP),--exp $(EXP)))

promote: setup ## make the committed model the champion, if it passes the gate and beats the current one (ROLLBACK=1: go back to the one before)
	@obesity-levels promote $(if $(ROLLBACK),--rollback)

fetch-champion: setup ## put the champion's files where `MODEL_DIR=champion make serve` reads them
	@obesity-levels fetch --to $(or $(MODEL_DIR),champion)

# MLflow's job runner starts eight processes for features that are not used here. MLflow also has telemetry.
mlflow-ui: export MLFLOW_SERVER_ENABLE_JOB_EXECUTION ?= false
mlflow-ui: export MLFLOW_DISABLE_TELEMETRY ?= true
mlflow-ui: setup ## show the runs on http://localhost:5000
	@case "$$MLFLOW_TRACKING_URI" in \
		http*) echo "the registry is a server: open it where MLFLOW_TRACKING_URI says" ;; \
		*) mlflow ui --workers 1 --port $(or $(PORT),5000) --backend-store-uri "$$MLFLOW_TRACKING_URI" ;; \
	esac

retrain: setup ## if SOURCE=new.csv has drifted, run an experiment on it and show its gate (JSON=file: the outcome too)
	@test -n "$(SOURCE)" || { echo "error: name the new rows: make retrain SOURCE=new.csv" >&2; exit 1; }
	@obesity-levels retrain $(if $(JSON),--json "$(JSON)") "$(SOURCE)"

# The table itself, not the zip that has it: so DVC tracks the rows. The timeouts are for each of DVC's five attempts.
UCI_URL ?= https://archive.ics.uci.edu/static/public/544/data.csv

# A failed import has deleted what an earlier one made.
uci: setup ## download UCI's own file, run an experiment on it, show its metrics (UCI_URL=https://…: from elsewhere)
	@dvc import-url --quiet --force --fs-config connect_timeout=10 read_timeout=10 -- "$(UCI_URL)" data/uci.csv 2>/dev/null || { \
		dvc checkout --quiet data/uci.csv.dvc 2>/dev/null; \
		echo "error: $(UCI_URL) cannot be downloaded: check the network and the address, or download the file" \
			"yourself (https://archive.ics.uci.edu/dataset/544) and run: dvc exp run -S ingest.source=FILE.csv" >&2; exit 1; }
	@obesity-levels retrain --force --layout data/layout.yaml data/uci.csv

DRIFT_TYPE ?= feature_shift
DRIFT_TYPES := feature_shift missing_values label_imbalance combined noise category_swap unit_error unit_error_lb_in

# Drift is the expected result here: its exit status, 3, is not a failure.
drift-test: setup ## simulate drift and check that it is detected (DRIFT_TYPE=feature_shift, INTENSITY=0.3)
	@obesity-levels drift --drift-type $(DRIFT_TYPE) $(if $(INTENSITY),--intensity $(INTENSITY)) || test $$? -eq 3

drift-test-all: setup ## the same for every kind of drift, each with a folder in reports/
	@for type in $(DRIFT_TYPES); do echo "== $$type"; \
		obesity-levels drift --drift-type $$type $(if $(INTENSITY),--intensity $(INTENSITY)) --output reports/$$type || test $$? -eq 3 || exit 1; \
	done

serve: model-is-there $(SERVICE_VENV)/ready ## serve the model on http://localhost:8000
	@GIT_REVISION=$(GIT_REVISION) PYTHONPATH=src exec $(SERVICE_VENV)/bin/python -m service

model-is-there:
	@test -f $${MODEL_DIR:-models}/classifier.onnx \
		|| { echo "error: there is no model in $${MODEL_DIR:-models}: run make repro first" >&2; exit 1; }

# The service's own environment: it contains nothing from the pipeline.
$(SERVICE_VENV)/ready: $(VENV)/ready service/requirements.lock service/assets.lock
	$(VENV)/bin/python -m venv --clear --without-pip $(SERVICE_VENV)
	VIRTUAL_ENV=$(SERVICE_VENV) uv pip sync --quiet --require-hashes --compile-bytecode service/requirements.lock
	VIRTUAL_ENV=$(SERVICE_VENV) uv pip install --quiet --require-hashes --no-deps -r service/assets.lock
	@touch $@

# podman takes the same commands: make docker-build DOCKER=podman
DOCKER ?= docker
IMAGE := $(if $(TARGET),obesity-$(TARGET),obesity-classifier)

docker-build: model-is-there ## build the image obesity-classifier from the service and this model (BASE=python:3.12-slim; TARGET=batch: the image obesity-batch)
	$(DOCKER) build $(if $(TARGET),--target $(TARGET)) $(if $(BASE),--build-arg BASE=$(BASE)) --build-arg GIT_REVISION=$(GIT_REVISION) --tag $(IMAGE) --tag $(IMAGE):$(VERSION) .

docker-save: ## save the image as dist/IMAGE-VERSION-ARCHITECTURE.tar.gz, for `docker load` (TARGET=batch)
	@mkdir -p $(DIST)
	architecture=$$($(DOCKER) image inspect --format '{{.Architecture}}' $(IMAGE):$(VERSION)) \
		&& file=$(DIST)/$(IMAGE)-$(VERSION)-$$architecture.tar \
		&& $(DOCKER) save --output $$file $(IMAGE):$(VERSION) \
		&& gzip --force --no-name $$file

docker-run: ## run the image in the background on http://localhost:8000 (PORT=8001)
	$(DOCKER) run --detach --name $(IMAGE) --restart unless-stopped --publish 127.0.0.1:$(or $(PORT),8000):8000 \
		--read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges $(DOCKER_RUN_FLAGS) $(IMAGE)

docker-stop: ## stop and remove the container
	$(DOCKER) stop --time 10 $(IMAGE)
	$(DOCKER) rm $(IMAGE)

docker-logs: ## follow the container's log
	$(DOCKER) logs --follow $(IMAGE)

# What a release attaches is made here. The same commit makes the same bytes, except for the images.
DIST := dist

check-tag: ## fail unless TAG=v0.1.0 is the version in pyproject.toml and CHANGELOG.md describes it
	@test "$$TAG" = "v$(VERSION)" \
		|| { echo "error: the tag '$$TAG' is not v$(VERSION), the version in pyproject.toml: change one of them" >&2; exit 1; }
	@grep -qF '## [$(VERSION)]' CHANGELOG.md \
		|| { echo "error: CHANGELOG.md has no section '## [$(VERSION)]': rename [Unreleased], and date it" >&2; exit 1; }

wheel: setup ## build the wheel of the library and the service in dist/
	uv build --quiet --offline --no-build-isolation --python python --wheel --out-dir $(DIST) .

# The locks say what is installed, not what asked for it: so the tool warns that there is no graph of dependencies.
sbom: $(DEPLOY_VENV)/ready ## write an SBOM (CycloneDX) of each lock to dist/sbom-LOCK.cdx.json
	@mkdir -p $(DIST)
	@for lock in $(LOCKS); do \
		PYTHONWARNINGS=ignore::UserWarning $(DEPLOY_VENV)/bin/cyclonedx-py requirements --output-reproducible --pyproject pyproject.toml \
			--output-file $(DIST)/sbom-$$(echo $${lock%.lock} | tr / -).cdx.json $$lock || exit 1; \
	done

MODEL_ARCHIVE := obesity-levels-model-$(VERSION)

# As the image, it takes only the files that dvc.lock names.
model-archive: setup model-is-there ## pack the model, its card and its metrics as a folder for MODEL_DIR, in dist/
	@python -c 'from pathlib import Path; from obesity_levels.errors import run_stage; from obesity_levels.model.artifact import check_lock; \
		run_stage(lambda: check_lock(Path("models")))'
	@mkdir -p $(DIST)
	tar --create --file $(DIST)/$(MODEL_ARCHIVE).tar --mtime=@0 --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX \
		--transform 's,.*/,$(MODEL_ARCHIVE)/,' \
		models/classifier.onnx models/manifest.json models/drift_reference.json metrics/evaluate.json metrics/model_card.md
	gzip --force --no-name $(DIST)/$(MODEL_ARCHIVE).tar

changes: ## copy what CHANGELOG.md says of this version to dist/CHANGES.md
	@mkdir -p $(DIST)
	@awk '/^## \[/ {of_version = index($$0, "## [$(VERSION)]") == 1} of_version' CHANGELOG.md > $(DIST)/CHANGES.md

release-files: wheel sbom model-archive changes ## make all files of a release in dist/, except for the images (make docker-save)
	cp metrics/evaluate.json metrics/model_card.md $(DIST)

# The tools that check and load-test the service from outside, and build the site.
$(DEPLOY_VENV)/ready: $(VENV)/ready deploy/requirements.lock
	$(VENV)/bin/python -m venv --clear --without-pip $(DEPLOY_VENV)
	VIRTUAL_ENV=$(DEPLOY_VENV) uv pip sync --quiet --require-hashes --compile-bytecode deploy/requirements.lock
	@touch $@

batch: deploy/batch/.venv/ready ## make the environment of `obesity-levels predict` on a Dask cluster, deploy/batch/.venv

feast: deploy/feast/.venv/ready ## make the environment of the feature store, deploy/feast/.venv

# The project's code is found by its path, as in the image: it is not a package that is installed here.
deploy/%/.venv/ready: $(VENV)/ready deploy/%/requirements.lock
	$(VENV)/bin/python -m venv --clear --without-pip $(@D)
	VIRTUAL_ENV=$(@D) uv pip sync --quiet --require-hashes --compile-bytecode deploy/$*/requirements.lock
	echo $(CURDIR)/src > $$($(@D)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/obesity_levels.pth
	@touch $@

USERS ?= 50
SPAWN_RATE ?= 50
RATE ?= 500
RUN_TIME ?= 60s
REPORTS ?= reports/load

load-test: $(if $(HOST),setup,model-is-there $(SERVICE_VENV)/ready) $(DEPLOY_VENV)/ready ## load-test a service for a minute (HOST=http://localhost:8000, USERS=50, RATE=500 requests a second, 0: no limit)
	@python benchmarks/load.py $(if $(HOST),--host $(HOST)) --users $(USERS) --spawn-rate $(SPAWN_RATE) --rate $(RATE) --run-time $(RUN_TIME) --reports $(REPORTS)

# The tests spend a fifth of their time waiting, for a service to stop or for DVC's queue: so three processes for two cores.
PROCESSES ?= $(shell echo $$(($$(nproc 2>/dev/null || getconf _NPROCESSORS_ONLN) * 3 / 2)))

# Quiet, so that the count of the tests closes the output.
covers = { coverage report --include='$(1)/*' --fail-under=$(2) > /dev/null \
	|| { echo "error: the tests run less than $(2) % of the lines of $(1)/: see Missing above" >&2; exit 1; }; }

# Files run in the order of tests/conftest.py.
test: setup ## run the whole test suite (COVERAGE=1: fail below the required coverage; TESTS=tests/service: only a part)
	pytest -q --numprocesses $(PROCESSES) --dist loadfile --no-loadscope-reorder $(if $(COVERAGE),--cov --cov-report=term) $(TESTS)
	$(if $(COVERAGE),@$(call covers,src,95) && $(call covers,service,90))

test-feast: setup ## run the tests of the feature store: by id and by file, the same bits (a part of `make test`)
	pytest -q tests/deploy/test_feast.py

lint: setup ## check style, types, and the workflows' permissions
	ruff check .
	ruff format --check .
	mypy
	zizmor --quiet --offline .github

SITE := site

screenshots: model-is-there $(SERVICE_VENV)/ready $(DEPLOY_VENV)/ready ## make the pictures of the page in docs/images/ with Chromium
	@python docs/screenshots.py

# The site is made anew each time: Sphinx says nothing about a page that has not changed. README is its first page.
docs: $(DEPLOY_VENV)/ready ## build the site with the API reference, site/html/index.html; fail on a warning, such as a broken link
	rm -rf $(SITE)/html $(SITE)/doctrees
	$(DEPLOY_VENV)/bin/sphinx-build -M html . $(SITE) -c docs --quiet --fail-on-warning
	cp $(SITE)/html/README.html $(SITE)/html/index.html

docs-links: $(DEPLOY_VENV)/ready ## check the links of the site to other sites (needs the network)
	$(DEPLOY_VENV)/bin/sphinx-build -M linkcheck . $(SITE) -c docs --quiet

# Known vulnerabilities of the locked packages, from the OSV database: PyPI's own advisories and GitHub's.
OSV_URL ?= https://api.osv.dev/v1/query
LOCKS := service/requirements.lock service/assets.lock deploy/requirements.lock deploy/batch/requirements.lock deploy/feast/requirements.lock requirements.lock

audit: advisories-are-there ## look for known vulnerabilities in the locked packages (queries api.osv.dev)
	@failed=0; for lock in $(LOCKS); do echo "== $$lock"; \
		$(DEPLOY_VENV)/bin/pip-audit --disable-pip --require-hashes --strict --progress-spinner off \
			--vulnerability-service osv --osv-url $(OSV_URL) --requirement $$lock || failed=1; \
	done; exit $$failed

# A database without advisories for jinja2 2.4.1 would report no vulnerability in any other package either.
advisories-are-there: $(DEPLOY_VENV)/ready
	@$(DEPLOY_VENV)/bin/python -c 'import requests; \
		question = {"package": {"name": "jinja2", "ecosystem": "PyPI"}, "version": "2.4.1"}; \
		assert requests.post("$(OSV_URL)", json=question, timeout=15).json()["vulns"]' 2>/dev/null \
		|| { echo "error: $(OSV_URL) does not answer with advisories: run make audit where it can be reached" >&2; exit 1; }

LOCK_COMMAND := uv pip compile --quiet --universal --python-version 3.11 --fork-strategy fewest --generate-hashes \
	--no-emit-index-url --no-annotate --custom-compile-command 'make lock' $(if $(UPGRADE),--upgrade)

# Of the pipeline's versions the feature store takes those that the bits of a prediction depend on; Feast contradicts others.
lock: setup ## lock the dependencies of pyproject.toml; keep versions where possible (UPGRADE=1: take the newest)
	$(LOCK_COMMAND) --extra dev --group service pyproject.toml --output-file requirements.lock
	$(LOCK_COMMAND) --group service --constraint requirements.lock --output-file service/requirements.lock
	$(LOCK_COMMAND) --group operations --output-file deploy/requirements.lock
	$(LOCK_COMMAND) --group batch --constraint requirements.lock --output-file deploy/batch/requirements.lock
	awk '/^(msgspec|numpy|onnxruntime)==/ {print $$1}' requirements.lock > $(VENV)/same.lock
	$(LOCK_COMMAND) --group feast --constraint $(VENV)/same.lock --output-file deploy/feast/requirements.lock
	$(LOCK_COMMAND) --group service-assets --no-deps --output-file service/assets.lock
