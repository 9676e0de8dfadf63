# One image for the enforcer, the authorization server and the country app, by argument:
#   docker run IMAGE enforcer run /etc/enforcer/config.yaml
#   docker run IMAGE authserver --host 0.0.0.0
#   docker run IMAGE country-app --host 0.0.0.0
# The last two are for development only: the client secrets of the authorization server are published.
#
# BASE_IMAGE can be any image with Python 3.11 or later. BUILD_IMAGE must have the same Python at the same path, and also
# a shell, venv, a C compiler and Python.h. Without the last two, build with --build-arg COMPILED=false; a request then
# costs about a third more CPU time (docs/speed.md).
ARG BASE_IMAGE=docker.io/library/python:3.13-slim-bookworm
ARG BUILD_IMAGE=docker.io/library/python:3.13-bookworm

FROM ${BUILD_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_NO_COMPILE=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /source
RUN ["python3", "-m", "venv", "/opt/build"]
RUN ["python3", "-m", "venv", "--without-pip", "/opt/enforcer"]
COPY image/build.lock image/run.lock image/
RUN ["/opt/build/bin/pip", "install", "--require-hashes", "--only-binary=:all:", "-r", "image/build.lock"]
RUN ["/opt/build/bin/pip", "--python", "/opt/enforcer", "install", "--require-hashes", "--only-binary=:all:", "-r", "image/run.lock"]
COPY pyproject.toml hatch_build.py README.md LICENSE ./
COPY authserver authserver
COPY country_app country_app
COPY enforcer enforcer
ARG COMPILED=true
ENV HATCH_BUILD_HOOK_ENABLE_CUSTOM=${COMPILED}
RUN ["/opt/build/bin/pip", "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", "/wheels", "."]
RUN /opt/build/bin/pip --python /opt/enforcer install --no-deps --no-index /wheels/*.whl
# Bytecode is compiled here, because the root file system is read-only at run time. Files that are not used there are
# removed.
RUN rm -rf /opt/enforcer/bin/[Aa]ctivate* /opt/enforcer/lib/python3*/site-packages/pycountry/locales \
 && find /opt/enforcer \( -name '*.pyx' -o -name '*.pxd' -o -name '*.pyi' -o -name tests -o -name testing \) -prune -exec rm -rf {} + \
 && /opt/enforcer/bin/python -m compileall -q --invalidation-mode unchecked-hash /opt/enforcer/lib

FROM ${BASE_IMAGE}
ARG VERSION=0.1.0
ARG REVISION=
ARG CREATED=
LABEL org.opencontainers.image.title="token-enforcer" \
      org.opencontainers.image.description="An OAuth authorization proxy: bearer tokens in, rules in YAML, the right answer out" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}"
COPY --from=build /opt/enforcer /opt/enforcer
ENV PATH=/opt/enforcer/bin:/usr/local/bin:/usr/bin:/bin PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /
# Leaves no files: this step only fails the build if the base has another Python than the build image.
RUN ["/opt/enforcer/bin/python", "-c", "import enforcer.server.serve"]
# A number, because the kubelet cannot check runAsNonRoot with a user name.
USER 65532:65532
EXPOSE 8091 9091
# No shell: the arguments are the command line, and the entry point of the base is not used.
ENTRYPOINT []
CMD ["enforcer", "run", "/etc/enforcer/config.yaml"]
