"""Builds the image from the project's Dockerfile on a locally made base, without a registry."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from e2e import ROOT
from e2e.pods.podman import Podman
from e2e.tools import polite, run

NAME: Final = "localhost/token-enforcer"
TAG: Final = "e2e"
IMAGE: Final = f"{NAME}:{TAG}"

_SUITE: Final = "bookworm"
_PACKAGES: Final = "python3,ca-certificates"
_BUILD_PACKAGES: Final = ("python3-venv", "python3-dev", "gcc", "libc6-dev")
_PATH: Final = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_TRUSTED: Final = Path("/usr/local/share/ca-certificates")
_PLAIN: Final = f"localhost/enforcer-e2e-plain:{_SUITE}"
_BASE_DOCKERFILE: Final = f"""\
FROM {_PLAIN}
COPY certificates /usr/local/share/ca-certificates
RUN ["update-ca-certificates"]
ENV PIP_CERT=/etc/ssl/certs/ca-certificates.crt
"""
_BUILD_DOCKERFILE: Final = """\
FROM {base}
RUN ["apt-get", "update"]
RUN ["apt-get", "install", "--yes", "--no-install-recommends", {packages}]
"""


def build_image(podman: Podman, build: Path, compiled: bool) -> int:
    """Build the image; returns its size in bytes, without its base."""
    base = _base(podman, build)
    compiler = _compiler(podman, build, base)
    images = ("--build-arg", f"BASE_IMAGE={base}", "--build-arg", f"BUILD_IMAGE={compiler}")
    podman.build(ROOT, IMAGE, *images, "--build-arg", f"COMPILED={str(compiled).lower()}")
    return _size(podman, IMAGE) - _size(podman, base)


def _base(podman: Podman, build: Path) -> str:
    """Create a base with Python, once, that trusts this machine's authorities: a proxy may intercept downloads."""
    if not podman.has_image(_PLAIN):
        tree = build / "base.tar"
        # Without a flush to the disk for each file, which a tree that is only packed does not need.
        bootstrap = ["mmdebstrap", "--variant=minbase", "--dpkgopt=force-unsafe-io", f"--include={_PACKAGES}"]
        run(*polite([*bootstrap, _SUITE, tree]))
        podman("import", "--change", f"ENV {_PATH}", tree, _PLAIN)
        tree.unlink()
    context = _context(build, "base", _BASE_DOCKERFILE)
    (context / "certificates").mkdir()
    for certificate in _TRUSTED.glob("*.crt"):
        shutil.copy(certificate, context / "certificates")
    return _built(podman, context)


def _compiler(podman: Podman, build: Path, base: str) -> str:
    """Add a compiler to the base: the layers are those of the last run, if there is one."""
    packages = ", ".join(f'"{package}"' for package in _BUILD_PACKAGES)
    return _built(podman, _context(build, "build", _BUILD_DOCKERFILE.format(base=base, packages=packages)))


def _context(build: Path, name: str, dockerfile: str) -> Path:
    context = build / name
    shutil.rmtree(context, ignore_errors=True)
    context.mkdir()
    (context / "Dockerfile").write_text(dockerfile)
    return context


def _built(podman: Podman, context: Path) -> str:
    image = f"localhost/enforcer-e2e-{context.name}:{_SUITE}"
    podman.build(context, image)
    return image


def _size(podman: Podman, image: str) -> int:
    return int(podman("image", "inspect", "--format", "{{.Size}}", image))
