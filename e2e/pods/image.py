"""The image, built from the project's Dockerfile on a base that is made here: no registry is asked for anything."""

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
_PACKAGES: Final = "python3,python3-venv,ca-certificates"
_PATH: Final = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PLAIN: Final = f"localhost/enforcer-e2e-plain:{_SUITE}"
_BASE: Final = f"localhost/enforcer-e2e-base:{_SUITE}"
_TRUSTED: Final = Path("/usr/local/share/ca-certificates")
_DOCKERFILE: Final = f"""\
FROM {_PLAIN}
COPY certificates /usr/local/share/ca-certificates
RUN ["update-ca-certificates"]
ENV PIP_CERT=/etc/ssl/certs/ca-certificates.crt
"""


def build_image(podman: Podman, build: Path) -> int:
    """Build the image; returns its size in bytes, without its base."""
    base = _base(podman, build)
    podman.build(ROOT, IMAGE, "--build-arg", f"BASE_IMAGE={base}")
    return _size(podman, IMAGE) - _size(podman, base)


def _base(podman: Podman, build: Path) -> str:
    """Make a base with Python, once, which trusts what this machine trusts: there may be a proxy on the way to PyPI."""
    if not podman.has_image(_PLAIN):
        tree = build / "base.tar"
        run(*polite(["mmdebstrap", "--variant=minbase", f"--include={_PACKAGES}", _SUITE, tree]))
        podman("import", "--change", f"ENV {_PATH}", tree, _PLAIN)
        tree.unlink()
    context = build / "base"
    shutil.rmtree(context, ignore_errors=True)
    (context / "certificates").mkdir(parents=True)
    for certificate in _TRUSTED.glob("*.crt"):
        shutil.copy(certificate, context / "certificates")
    (context / "Dockerfile").write_text(_DOCKERFILE)
    podman.build(context, _BASE)
    return _BASE


def _size(podman: Podman, image: str) -> int:
    return int(podman("image", "inspect", "--format", "{{.Size}}", image))
