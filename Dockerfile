# Two images from one source: the operator's has no SQLMesh, the runner's no Kubernetes client.
#   docker build --target operator -t vulcan-operator .
#   docker build --target runner -t vulcan-runner .
# Both install exactly what locks/ pins, and run as any non-root user on a read-only root file system.
ARG PYTHON=3.11-slim-bookworm

FROM python:${PYTHON} AS base
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 LANG=C.UTF-8
# ssh ends with "No user exists for uid 10001" without an entry in passwd.
RUN groupadd --gid 10001 vulcan && useradd --uid 10001 --gid 10001 --no-create-home --shell /usr/sbin/nologin vulcan
WORKDIR /app

FROM base AS operator
COPY locks/operator.txt locks/
RUN pip install --require-hashes -r locks/operator.txt
COPY pyproject.toml README.md ./
COPY operator operator
RUN pip install --no-deps .
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
COPY pyproject.toml README.md ./
COPY operator operator
RUN pip install --no-deps .
USER 10001:10001
CMD ["python", "-m", "vulcan_runner"]
