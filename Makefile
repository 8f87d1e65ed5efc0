# Thin aliases; each does what its commands say. `make help` lists them.
VENV := .venv
SERVICE_VENV := service/.venv
DEPLOY_VENV := deploy/.venv
# found before .venv is put first on the path
PYTHON := $(or $(PYTHON),$(shell command -v python3))
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
# so that an activated environment, or none, makes no difference
export VIRTUAL_ENV := $(CURDIR)/$(VENV)

# of what is served, for /model-info and the image's labels
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
GIT_REVISION ?= $(shell git describe --always --dirty --abbrev=40 --exclude='*' 2>/dev/null)

.DEFAULT_GOAL := help
.PHONY: model-is-there help setup repro results data train verify publish promote fetch-champion mlflow-ui retrain drift-test drift-test-all serve docker-build docker-run docker-stop docker-logs load-test test lint audit advisories-are-there requirements lock

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/ready ## make .venv with the locked packages (Python 3.11 to 3.13)

requirements: setup ## the same

# uv, itself checked against the lock, installs the rest in seconds; pip takes minutes.
$(VENV)/ready: requirements.lock service/assets.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
		|| { echo "error: Python 3.11, 3.12 or 3.13 is needed, $$($(PYTHON) --version) was found: make setup PYTHON=python3.11" >&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	awk '/^[^ ]/ {of_uv = /^uv==/} of_uv' requirements.lock > $(VENV)/uv.lock
	python -m pip install --quiet --require-hashes -r $(VENV)/uv.lock
	uv pip sync --quiet --require-hashes --compile-bytecode requirements.lock
	uv pip install --quiet --require-hashes --no-deps --compile-bytecode -r service/assets.lock
	uv pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

repro: setup ## set up, run the pipeline, show the metrics, register the model
	dvc repro
	@$(MAKE) --no-print-directory results publish

results: setup ## show the metrics as a table
	@obesity-levels results

data: setup ## the pipeline up to the model's input
	dvc repro check featurize

train: setup ## the pipeline up to the model
	dvc repro check train

verify: setup ## rebuild everything by force; fail, and say by how much, if a tracked number differs (TOLERANCE=0.001)
	dvc repro --force
	@obesity-levels verify $(if $(TOLERANCE),--tolerance $(TOLERANCE))

# Without a server's MLFLOW_TRACKING_URI, mlflow.db in this folder is the registry.
export MLFLOW_TRACKING_URI ?= sqlite:///mlflow.db

publish: setup ## register the model with MLflow, as challenger (EXP=name: an experiment; EXP=all: all of them)
	@obesity-levels publish $(if $(filter all,$(EXP)),--all-experiments,$(if $(EXP),--exp $(EXP)))

promote: setup ## make the committed model the champion, if it passes the gate and beats the present one
	@obesity-levels promote

fetch-champion: setup ## put the champion's files where `MODEL_DIR=champion make serve` takes them
	@obesity-levels fetch --to $(or $(MODEL_DIR),champion)

# MLflow's job runner is eight processes, for what is not used here; and it has telemetry.
mlflow-ui: export MLFLOW_SERVER_ENABLE_JOB_EXECUTION ?= false
mlflow-ui: export MLFLOW_DISABLE_TELEMETRY ?= true
mlflow-ui: setup ## look at the runs on http://localhost:5000
	@case "$$MLFLOW_TRACKING_URI" in \
		http*) echo "the registry is a server: open it where MLFLOW_TRACKING_URI says" ;; \
		*) mlflow ui --port $(or $(PORT),5000) --backend-store-uri "$$MLFLOW_TRACKING_URI" ;; \
	esac

retrain: setup ## where SOURCE=new.csv has drifted, an experiment on it, and its gate
	@test -n "$(SOURCE)" || { echo "error: name the new rows: make retrain SOURCE=new.csv" >&2; exit 1; }
	@obesity-levels retrain "$(SOURCE)"

DRIFT_TYPE ?= feature_shift
DRIFT_TYPES := feature_shift missing_values label_imbalance combined noise category_swap unit_error unit_error_lb_in

# Drift is what is looked for here: its exit status, 3, is no failure.
drift-test: setup ## simulate drift and see whether it is found (DRIFT_TYPE=feature_shift, INTENSITY=0.3)
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

# The service's own environment: nothing of the pipeline's is in it.
$(SERVICE_VENV)/ready: $(VENV)/ready service/requirements.lock service/assets.lock
	$(VENV)/bin/python -m venv --clear --without-pip $(SERVICE_VENV)
	VIRTUAL_ENV=$(SERVICE_VENV) uv pip sync --quiet --require-hashes --compile-bytecode service/requirements.lock
	VIRTUAL_ENV=$(SERVICE_VENV) uv pip install --quiet --require-hashes --no-deps -r service/assets.lock
	@touch $@

# podman takes the same commands: make docker-build DOCKER=podman
DOCKER ?= docker
IMAGE := obesity-classifier

docker-build: model-is-there ## make the image obesity-classifier, of the service and this model (BASE=python:3.12-slim)
	$(DOCKER) build $(if $(BASE),--build-arg BASE=$(BASE)) --build-arg GIT_REVISION=$(GIT_REVISION) --tag $(IMAGE) --tag $(IMAGE):$(VERSION) .

docker-run: ## run it in the background on http://localhost:8000 (PORT=8001)
	$(DOCKER) run --detach --name $(IMAGE) --restart unless-stopped --publish 127.0.0.1:$(or $(PORT),8000):8000 \
		--read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges $(DOCKER_RUN_FLAGS) $(IMAGE)

docker-stop: ## end it
	$(DOCKER) stop --time 10 $(IMAGE)
	$(DOCKER) rm $(IMAGE)

docker-logs: ## follow its log
	$(DOCKER) logs --follow $(IMAGE)

# What checks and loads the service from outside.
$(DEPLOY_VENV)/ready: $(VENV)/ready deploy/requirements.lock
	$(VENV)/bin/python -m venv --clear --without-pip $(DEPLOY_VENV)
	VIRTUAL_ENV=$(DEPLOY_VENV) uv pip sync --quiet --require-hashes --compile-bytecode deploy/requirements.lock
	@touch $@

USERS ?= 50
SPAWN_RATE ?= 50
RATE ?= 500
RUN_TIME ?= 60s
REPORTS ?= reports/load

load-test: $(if $(HOST),setup,model-is-there $(SERVICE_VENV)/ready) $(DEPLOY_VENV)/ready ## load a service for a minute (HOST=http://localhost:8000, USERS=50, RATE=500 requests a second, 0: all they can)
	@python benchmarks/load.py $(if $(HOST),--host $(HOST)) --users $(USERS) --spawn-rate $(SPAWN_RATE) --rate $(RATE) --run-time $(RUN_TIME) --reports $(REPORTS)

# A fifth of their time the tests wait, for a service to end or for DVC's queue: three processes for two cores.
PROCESSES ?= $(shell echo $$(($$(nproc 2>/dev/null || getconf _NPROCESSORS_ONLN) * 3 / 2)))

# File by file in their order: the longest, end_to_end, come first, so that no core waits for another in the end.
test: setup ## the whole test suite (COVERAGE=1: and fail below the bar; TESTS=tests/service: some of it)
	pytest -q --numprocesses $(PROCESSES) --dist loadfile --no-loadscope-reorder $(if $(COVERAGE),--cov --cov-report=term) $(TESTS)

lint: setup ## style, types, and the workflow's permissions
	ruff check .
	ruff format --check .
	mypy
	zizmor --quiet --offline .github

# Known vulnerabilities of what is locked, from the database of OSV: PyPI's own advisories and GitHub's.
OSV_URL ?= https://api.osv.dev/v1/query
LOCKS := service/requirements.lock service/assets.lock deploy/requirements.lock requirements.lock

audit: advisories-are-there ## look for known vulnerabilities in what the locks name (asks api.osv.dev)
	@failed=0; for lock in $(LOCKS); do echo "== $$lock"; \
		$(DEPLOY_VENV)/bin/pip-audit --disable-pip --require-hashes --strict --progress-spinner off \
			--vulnerability-service osv --osv-url $(OSV_URL) --requirement $$lock || failed=1; \
	done; exit $$failed

# A database that knows nothing of jinja2 2.4.1 would find all else harmless too.
advisories-are-there: $(DEPLOY_VENV)/ready
	@$(DEPLOY_VENV)/bin/python -c 'import requests; \
		question = {"package": {"name": "jinja2", "ecosystem": "PyPI"}, "version": "2.4.1"}; \
		assert requests.post("$(OSV_URL)", json=question, timeout=15).json()["vulns"]' 2>/dev/null \
		|| { echo "error: $(OSV_URL) does not answer with advisories: run make audit where it can be reached" >&2; exit 1; }

LOCK_COMMAND := uv pip compile --quiet --universal --python-version 3.11 --fork-strategy fewest --generate-hashes \
	--no-emit-index-url --no-annotate --custom-compile-command 'make lock' $(if $(UPGRADE),--upgrade)

lock: setup ## lock the dependencies of pyproject.toml; versions stay where they can (UPGRADE=1: take the newest)
	$(LOCK_COMMAND) --extra dev --group service pyproject.toml --output-file requirements.lock
	$(LOCK_COMMAND) --group service --constraint requirements.lock --output-file service/requirements.lock
	$(LOCK_COMMAND) --group operations --output-file deploy/requirements.lock
	$(LOCK_COMMAND) --group service-assets --no-deps --output-file service/assets.lock
