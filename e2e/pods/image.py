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
_BUILD_PACKAGES: Final = "python3,python3-venv,python3-dev,gcc,libc6-dev,ca-certificates"
_PATH: Final = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_TRUSTED: Final = Path("/usr/local/share/ca-certificates")
_DOCKERFILE: Final = """\
FROM {plain}
COPY certificates /usr/local/share/ca-certificates
RUN ["update-ca-certificates"]
ENV PIP_CERT=/etc/ssl/certs/ca-certificates.crt
"""


def build_image(podman: Podman, build: Path) -> int:
    """Build the image; returns its size in bytes, without its base."""
    base = _base(podman, build, "base", _PACKAGES)
    compiler = _base(podman, build, "build", _BUILD_PACKAGES)
    podman.build(ROOT, IMAGE, "--build-arg", f"BASE_IMAGE={base}", "--build-arg", f"BUILD_IMAGE={compiler}")
    return _size(podman, IMAGE) - _size(podman, base)


def _base(podman: Podman, build: Path, name: str, packages: str) -> str:
    """Create a base with Python, once, that trusts this machine's authorities: a proxy may intercept downloads."""
    plain, base = (f"localhost/enforcer-e2e-{kind}:{_SUITE}" for kind in (f"plain-{name}", name))
    if not podman.has_image(plain):
        tree = build / f"{name}.tar"
        run(*polite(["mmdebstrap", "--variant=minbase", f"--include={packages}", _SUITE, tree]))
        podman("import", "--change", f"ENV {_PATH}", tree, plain)
        tree.unlink()
    context = build / name
    shutil.rmtree(context, ignore_errors=True)
    (context / "certificates").mkdir(parents=True)
    for certificate in _TRUSTED.glob("*.crt"):
        shutil.copy(certificate, context / "certificates")
    (context / "Dockerfile").write_text(_DOCKERFILE.format(plain=plain))
    podman.build(context, base)
    return base


def _size(podman: Podman, image: str) -> int:
    return int(podman("image", "inspect", "--format", "{{.Size}}", image))
