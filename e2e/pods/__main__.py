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
@click.option("--compiled/--interpreted", default=True, show_default=True, help="Compile the request path.")
def main(parts: Sequence[str], compiled: bool) -> None:
    """Run real pods and test them; PARTs are namespaces, gateway and sidecars (default: all).

    Requires Linux, root, and some packages; missing ones are listed. The first run creates a base image and builds the
    image from the Dockerfile, which takes some minutes.
    """
    proof = Proof()
    try:
        demand(*TOOLS)
        podman = Podman(BUILD)
        proof.part("The image")
        size = build_image(podman, BUILD, compiled)
        kind = "compiled" if compiled else "interpreted"
        proof.note(f"{IMAGE}, {kind}, from the Dockerfile, on a Debian base: {size / 1e6:.0f} MB without the base")
    except ToolError as error:
        click.echo(error, err=True)
        sys.exit(2)
    proof.part("Changes to the manifests for `podman kube play`")
    for change in CHANGES.values():
        proof.note(change)
    proof.note("podman does not enforce NetworkPolicies: tests/ evaluate them")
    with tempfile.TemporaryDirectory(prefix="enforcer-e2e-") as folder:
        for name in parts or _PARTS:
            inner = Path(folder, name)
            inner.mkdir()
            proof.attempt(lambda: _PARTS[name](proof, podman, inner))  # noqa: B023 - called at once
    click.echo(f"\n{proof.passed} of {proof.passed + proof.failed} claims hold")
    sys.exit(1 if proof.failed else 0)


if __name__ == "__main__":
    main(prog_name="python -m e2e.pods")
