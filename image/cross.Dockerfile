# The image for another platform than this machine's, if this machine cannot run that platform's programs: nothing is
# executed there, so that nothing is compiled and the final stage checks nothing. `make release` uses it; if there is an
# emulator (binfmt_misc with qemu), it uses the Dockerfile for every platform.
#   docker build --file image/cross.Dockerfile --platform linux/arm64 --build-arg BUILDPLATFORM=linux/amd64 --build-arg MACHINE=aarch64 .
ARG BASE_IMAGE=docker.io/library/python:3.13-slim-bookworm
ARG BUILD_IMAGE=docker.io/library/python:3.13-bookworm
ARG BUILDPLATFORM

FROM --platform=${BUILDPLATFORM} ${BUILD_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_NO_COMPILE=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /source
RUN ["python3", "-m", "venv", "/opt/build"]
RUN ["python3", "-m", "venv", "--without-pip", "/opt/enforcer"]
COPY image/build.lock image/run.lock image/
RUN ["/opt/build/bin/pip", "install", "--require-hashes", "--only-binary=:all:", "-r", "image/build.lock"]
# Wheels of the other platform, which pip only unpacks.
ARG MACHINE
RUN /opt/build/bin/pip --python /opt/enforcer install --require-hashes --only-binary=:all: --no-deps -r image/run.lock \
      --platform manylinux2014_${MACHINE} --platform manylinux_2_17_${MACHINE} --platform manylinux_2_28_${MACHINE} \
      --target "$(/opt/enforcer/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"
COPY pyproject.toml hatch_build.py README.md LICENSE ./
COPY authserver authserver
COPY country_app country_app
COPY enforcer enforcer
RUN ["/opt/build/bin/pip", "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", "/wheels", "."]
RUN /opt/build/bin/pip --python /opt/enforcer install --no-deps --no-index /wheels/*.whl
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
USER 65532:65532
EXPOSE 8091 9091
ENTRYPOINT []
CMD ["enforcer", "run", "/etc/enforcer/config.yaml"]
