# The service, its tests, and predictions of many rows. `make docker-build` makes the image obesity-classifier of the
# last target, and with TARGET=batch the image obesity-batch.
#   docker build --target test .      the suite, without the end-to-end tests
#   docker build --target batch .     `python -m obesity_levels.prediction`, also for the workers of a Dask cluster
#   docker build .                    the service
# The base has Python 3.11 to 3.13 and its venv module; nothing else of it is used.
ARG BASE=python:3.11-slim

# What all targets share: a folder to work in, and nothing written beside the sources.
FROM ${BASE} AS base
ENV PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /app

FROM base AS test
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
# Tools of the tests, of the version that the base's release has.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --yes --no-install-recommends git make && rm -rf /var/lib/apt/lists/*
COPY . .
# The tests clone the last commit; the context has no history. What is not sent (.dockerignore) is not in it.
RUN git init --quiet --initial-branch main && git config user.name test && git config user.email test@localhost \
    && git add --all && git commit --quiet --message "The context of the build"
RUN DVC_NO_ANALYTICS=1 make test TESTS="--ignore tests/end_to_end"

FROM base AS batch-build
COPY deploy/batch/requirements.lock .
# As for the service below.
RUN python3 -m venv /opt/venv \
    && /opt/venv/bin/python -m pip install --quiet --no-compile --require-hashes -r requirements.lock \
    && /opt/venv/bin/python -m pip uninstall --quiet --yes pip setuptools \
    && find /opt/venv/lib -type d -name tests -prune -exec rm -r {} + \
    && python3 -m compileall -q --invalidation-mode unchecked-hash /opt/venv/lib
# The whole package, though not all of it is used here: Dask's workers must have the same code, by its hash.
COPY src/obesity_levels obesity_levels/
RUN python3 -m compileall -q --invalidation-mode unchecked-hash obesity_levels
COPY models/classifier.onnx models/manifest.json models/drift_reference.json models/
COPY params.yaml dvc.lock ./
COPY data/layout.yaml data/
RUN /opt/venv/bin/python -c "from pathlib import Path; from obesity_levels.model.artifact import check_lock; from obesity_levels.prediction.task import load_model; check_lock(Path('models')); load_model('models')" \
    && rm dvc.lock requirements.lock && chmod -R a+rX /app

FROM base AS batch
ARG GIT_REVISION=
LABEL org.opencontainers.image.title="obesity-batch" \
      org.opencontainers.image.description="One of seven obesity levels for each row of files" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.revision="${GIT_REVISION}"
COPY --from=batch-build /opt/venv /opt/venv
COPY --from=batch-build /app /app
# PYTHONPATH, because `dask worker` does not look for the package in the current folder.
ENV PATH=/opt/venv/bin:$PATH PYTHONPATH=/app
USER 10001:10001
STOPSIGNAL SIGTERM
ENTRYPOINT ["/opt/venv/bin/python", "-m", "obesity_levels.prediction"]

FROM base AS build
COPY service/requirements.lock service/assets.lock service/
# Without pip, and without the packages' own tests (17 MB). Bytecode is valid whatever the time of its source, so the
# image does not depend on when it was made.
RUN python3 -m venv /opt/venv \
    && /opt/venv/bin/python -m pip install --quiet --no-compile --require-hashes -r service/requirements.lock \
    && /opt/venv/bin/python -m pip install --quiet --no-compile --require-hashes --no-deps -r service/assets.lock \
    && /opt/venv/bin/python -m pip uninstall --quiet --yes pip setuptools \
    && find /opt/venv/lib -type d -name tests -prune -exec rm -r {} + \
    && python3 -m compileall -q --invalidation-mode unchecked-hash /opt/venv/lib
COPY service/*.py service/
COPY service/routes/*.py service/routes/
COPY service/web service/web/
COPY src/obesity_levels/__init__.py src/obesity_levels/errors.py src/obesity_levels/paths.py \
     src/obesity_levels/schema.py obesity_levels/
COPY src/obesity_levels/model/__init__.py src/obesity_levels/model/artifact.py src/obesity_levels/model/classifier.py \
     src/obesity_levels/model/explanation.py src/obesity_levels/model/features.py \
     src/obesity_levels/model/prediction_sets.py obesity_levels/model/
COPY src/obesity_levels/drift/__init__.py src/obesity_levels/drift/histograms.py obesity_levels/drift/
RUN python3 -m compileall -q --invalidation-mode unchecked-hash service obesity_levels
COPY models/classifier.onnx models/manifest.json models/drift_reference.json models/
COPY metrics/evaluate.json metrics/
COPY dvc.lock .
# Beside dvc.lock the model is held to it, and a row is scored. The lock is not shipped: a volume may bring another model.
RUN /opt/venv/bin/python -c "from service.model import load_model; from service.settings import Settings; load_model(Settings())" \
    && rm -r dvc.lock service/*.lock && chmod -R a+rX /app

FROM base AS service
ARG GIT_REVISION=
LABEL org.opencontainers.image.title="obesity-classifier" \
      org.opencontainers.image.description="One of seven obesity levels from 16 answers, over HTTP" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.revision="${GIT_REVISION}"
COPY --from=build /opt/venv /opt/venv
COPY --from=build /app /app
ENV PATH=/opt/venv/bin:$PATH HOST=0.0.0.0 PORT=8000 MODEL_DIR=/app/models GIT_REVISION=${GIT_REVISION}
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 CMD ["/opt/venv/bin/python", "-m", "service.healthcheck"]
ENTRYPOINT ["/opt/venv/bin/python", "-m", "service"]
