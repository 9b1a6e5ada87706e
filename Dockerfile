# One image for all services: a container runs the same command line as a local child process.
# Any base image with Python 3.11 or newer as `python3`, and its venv module, will do.
ARG BASE_IMAGE=python:3.12-slim

FROM ${BASE_IMAGE} AS build
ARG HATCHLING_VERSION=1.33.0
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_NO_COMPILE=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /source
# pip and the build backend live and stay in this stage. Settings of a private index come as a secret, without a trace:
#   docker build --secret id=pip,src=$HOME/.config/pip/pip.conf .
RUN --mount=type=secret,id=pip,target=/etc/pip.conf \
    python3 -m venv /tools \
    && /tools/bin/pip install --quiet hatchling==${HATCHLING_VERSION} \
    && python3 -m venv --without-pip /opt/aiperf
COPY image-requirements.txt ./
RUN --mount=type=secret,id=pip,target=/etc/pip.conf \
    /tools/bin/pip --python /opt/aiperf/bin/python install --quiet --require-hashes --requirement image-requirements.txt \
    && find /opt/aiperf -type d -name tests -path '*/numpy/*' -prune -exec rm -rf {} + \
    && find /opt/aiperf \( -name '*.pyi' -o -name '*.a' \) -delete
COPY pyproject.toml README.md LICENSE ./
COPY src src
# Byte code that is checked against nothing: the same in every build, and a read-only root needs no writing at start.
RUN /tools/bin/python -m hatchling build -t wheel -d /wheel \
    && /tools/bin/pip --python /opt/aiperf/bin/python install --quiet --no-index --no-deps /wheel/*.whl \
    && /opt/aiperf/bin/python -m compileall -q -j 1 --invalidation-mode unchecked-hash /opt/aiperf/lib

FROM ${BASE_IMAGE}
LABEL org.opencontainers.image.title="aiperf" org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/aiperf /opt/aiperf
ENV PATH=/opt/aiperf/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp
WORKDIR /tmp
# A number, so that `runAsNonRoot` can be checked without a look into the image.
USER 65532:65532
ENTRYPOINT ["aiperf"]
