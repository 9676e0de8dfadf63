"""`python -m e2e.pods`: the tests with real pods."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import click

from e2e import BUILD
from e2e.pods import namespaces
from e2e.pods.demo import gateway
from e2e.pods.image import IMAGE, build_image
from e2e.pods.manifests import CHANGES
from e2e.pods.podman import TOOLS, Podman
from e2e.pods.sidecars import sidecars
from e2e.proof import Proof
from e2e.tools import ToolError, demand

_PARTS: Final[dict[str, Callable[[Proof, Podman, Path], None]]] = {
    "namespaces": lambda proof, podman, folder: namespaces.prove(proof, folder),
    "gateway": gateway,
    "sidecars": sidecars,
}


@click.command()
@click.argument("parts", metavar="[PART]...", nargs=-1, type=click.Choice(list(_PARTS)))
def main(parts: Sequence[str]) -> None:
    """Run real pods and test them; PARTs are namespaces, gateway and sidecars (default: all).

    It needs Linux, root, and some packages, which it names. The first time, a base image is made and an image is built
    from the Dockerfile, which takes some minutes.
    """
    proof = Proof()
    try:
        demand(*TOOLS)
        podman = Podman(BUILD)
        proof.part("The image")
        size = build_image(podman, BUILD)
        proof.note(f"{IMAGE}, from the Dockerfile, on a Debian base made here: {size / 1e6:.0f} MB beside the base")
    except ToolError as error:
        click.echo(error, err=True)
        sys.exit(2)
    proof.part("Manifests go to `podman kube play` as they are, except for this")
    for change in CHANGES.values():
        proof.note(change)
    proof.note("NetworkPolicies are not enforced by podman's network: tests/ say what they let through")
    with tempfile.TemporaryDirectory(prefix="enforcer-e2e-") as folder:
        for name in parts or _PARTS:
            inner = Path(folder, name)
            inner.mkdir()
            proof.attempt(lambda: _PARTS[name](proof, podman, inner))  # noqa: B023 - called at once
    click.echo(f"\n{proof.right} of {proof.right + proof.wrong} claims hold")
    sys.exit(1 if proof.wrong else 0)


if __name__ == "__main__":
    main(prog_name="python -m e2e.pods")
