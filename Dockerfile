# Drydock in one image; docker-compose.yml starts it as web, workers, beat and watch.
# The bases are pinned to a version. To pin them to a digest as well, set the build arguments to name@sha256:...
ARG PYTHON_IMAGE=python:3.11.14-slim-trixie
ARG NODE_IMAGE=node:22.12.0-bookworm-slim

FROM ${NODE_IMAGE} AS assets
WORKDIR /src
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts --omit=dev --no-audit --no-fund

FROM ${PYTHON_IMAGE} AS packages
COPY requirements.txt /tmp/
RUN python3 -m venv /venv && /venv/bin/pip install --no-cache-dir --require-hashes -r /tmp/requirements.txt

FROM packages AS built
WORKDIR /app
COPY manage.py ./
COPY config config
COPY images images
COPY cleanup cleanup
COPY templates templates
COPY static static
COPY --from=assets /src/node_modules node_modules
# Keys made for this step alone: nothing of them stays in the image.
RUN DATA_DIR=/tmp/data /venv/bin/python -m config.assets \
 && DATA_DIR=/tmp/data /venv/bin/python -m config.translations \
 && DATA_DIR=/tmp/data /venv/bin/python manage.py collectstatic --no-input --verbosity 0 \
 && rm -rf node_modules config/demo

FROM ${PYTHON_IMAGE} AS drydock
LABEL org.opencontainers.image.title="Drydock" \
      org.opencontainers.image.description="Keeps the images on all your Docker hosts in order." \
      org.opencontainers.image.licenses="Apache-2.0"
# Hosts over ssh are reached with OpenSSH's own client; git fetches repositories to build from; buildx builds what
# needs secrets.
RUN apt-get update -q=2 \
 && apt-get install -q=2 -y --no-install-recommends "openssh-client=1:10.0p1-*" "git=1:2.47.*" \
    "docker-buildx=0.13.*" \
 && rm -rf /var/lib/apt/lists/*
# A volume that is mounted there first takes its owner from the image.
RUN useradd --system --uid 10001 --create-home --home-dir /data drydock \
 && install --directory --owner drydock --mode 0700 /data/spool
COPY --from=packages /venv /venv
COPY --from=built --chown=root:root /app /app
WORKDIR /app
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 DATA_DIR=/data LOG_FORMAT=json
USER 10001
EXPOSE 8000
# Of the web process; docker-compose.yml gives the others checks of their own.
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s --retries=4 \
  CMD ["python", "-m", "config.health", "web"]
CMD ["uvicorn", "config.asgi:application", "--host", "0.0.0.0", "--port", "8000", "--timeout-graceful-shutdown", "10", "--no-access-log", "--log-level", "warning"]
