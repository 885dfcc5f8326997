# Two images from one source: the operator's has no SQLMesh, the runner's no Kubernetes client.
#   docker build --target operator -t vulcan-operator .
#   docker build --target runner -t vulcan-runner .
# Both install exactly what locks/ pins, with hashes, and run as any non-root user on a read-only root
# file system. A tag may move: name the base image by digest where builds must be the same,
#   docker buildx imagetools inspect python:3.11-slim-bookworm --format '{{.Manifest.Digest}}'
#   docker build --build-arg BASE=python@sha256:... --target operator -t vulcan-operator .
# `make sbom` lists what of the locks is in each image; apt packages and the base image are not in it.
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS base
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 LANG=C.UTF-8
# ssh ends with "No user exists for uid 10001" without an entry in passwd.
RUN groupadd --gid 10001 vulcan && useradd --uid 10001 --gid 10001 --no-create-home --shell /usr/sbin/nologin vulcan
WORKDIR /app

# The wheel of both images, built with the locked setuptools: in isolation pip would download another.
FROM base AS wheel
COPY locks/build.txt locks/
RUN pip install --require-hashes -r locks/build.txt
COPY pyproject.toml README.md ./
COPY operator operator
RUN pip wheel --no-deps --no-index --no-build-isolation --wheel-dir /dist .

FROM base AS operator
COPY locks/operator.txt locks/
RUN pip install --require-hashes -r locks/operator.txt
COPY --from=wheel /dist /tmp/dist
RUN pip install --no-deps --no-index /tmp/dist/*.whl
USER 10001:10001
ENTRYPOINT ["python", "-m", "vulcan_operator"]
CMD ["run"]

FROM base AS runner
# git and ssh: the fetch container is this image, too.
RUN apt-get update && apt-get install -y --no-install-recommends git openssh-client && rm -rf /var/lib/apt/lists/*
COPY locks/soda.txt locks/
RUN python -m venv /opt/soda && /opt/soda/bin/pip install --require-hashes -r locks/soda.txt
ENV VULCAN_SODA_PYTHON=/opt/soda/bin/python
COPY locks/runner.txt locks/
RUN pip install --require-hashes -r locks/runner.txt
COPY --from=wheel /dist /tmp/dist
RUN pip install --no-deps --no-index /tmp/dist/*.whl
USER 10001:10001
CMD ["python", "-m", "vulcan_runner"]
