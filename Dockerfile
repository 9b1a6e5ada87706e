# One image for all services: a container runs the same command line as a local child process.
# Any base image with Python 3.11 or newer as `python3`, and its venv module, will do.
ARG BASE_IMAGE=python:3.12-slim

FROM ${BASE_IMAGE} AS dependencies
ARG HATCHLING_VERSION=1.33.0
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PYTHONDONTWRITEBYTECODE=1 PYTHONHASHSEED=0
# pip and the build backend live and stay in this stage. Settings of a private index come as a secret, without a trace:
#   docker build --secret id=pip,src=$HOME/.config/pip/pip.conf .
RUN --mount=type=secret,id=pip,target=/etc/pip.conf \
    python3 -m venv /tools \
    && /tools/bin/pip install --quiet hatchling==${HATCHLING_VERSION} \
    && python3 -m venv --without-pip /opt/aiperf
COPY image-requirements.txt /source/
# Byte code that is checked against nothing: the same in every build, and a read-only root needs no writing at start.
RUN --mount=type=secret,id=pip,target=/etc/pip.conf \
    /tools/bin/pip --python /opt/aiperf/bin/python3 install --quiet --no-compile --require-hashes --requirement /source/image-requirements.txt \
    && find /opt/aiperf -type d -name tests -path '*/numpy/*' -prune -exec rm -rf {} + \
    && find /opt/aiperf \( -name '*.pyi' -o -name '*.a' \) -delete \
    && /opt/aiperf/bin/python3 -m compileall -q -f --invalidation-mode unchecked-hash /opt/aiperf/lib

FROM dependencies AS package
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN /tools/bin/python3 -m hatchling build -t wheel -d /wheel \
    && /tools/bin/pip --python /opt/aiperf/bin/python3 install --quiet --no-compile --no-index --no-deps --prefix /package /wheel/*.whl \
    && /opt/aiperf/bin/python3 -m compileall -q -f -s /package -p /opt/aiperf --invalidation-mode unchecked-hash /package/lib

# What changes with every commit is a layer of its own, and a small one.
FROM ${BASE_IMAGE}
LABEL org.opencontainers.image.title="aiperf" org.opencontainers.image.licenses="Apache-2.0"
COPY --from=dependencies /opt/aiperf /opt/aiperf
COPY --from=package /package /opt/aiperf
ENV PATH=/opt/aiperf/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp
WORKDIR /tmp
# A number, so that `runAsNonRoot` can be checked without a look into the image.
USER 65532:65532
ENTRYPOINT ["aiperf"]
