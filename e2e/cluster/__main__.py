"""`python -m e2e.cluster`: the tests against an API server."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import click

from e2e.cluster import injector, proofs
from e2e.cluster.controlplane import TOOLS, ControlPlane, build, control_plane, version
from e2e.proof import Proof
from e2e.tools import ToolError, demand


@click.command()
def main() -> None:
    """Try on a bare API server what Kubernetes makes of the charts, the overlays and the injector.

    It needs Linux, root, and some programs, which it names. The first time, the API server is compiled, which takes a
    quarter of an hour.
    """
    proof = Proof()
    try:
        demand(*TOOLS)
        click.echo(f"kube-apiserver {version()} …")
        build()
        with tempfile.TemporaryDirectory(prefix="enforcer-e2e-") as name:
            folder = Path(name)
            with control_plane(folder) as cluster:
                _prove(proof, cluster, folder)
    except ToolError as error:
        click.echo(error, err=True)
        sys.exit(2)
    click.echo(f"\n{proof.right} of {proof.right + proof.wrong} claims hold")
    sys.exit(1 if proof.wrong else 0)


def _prove(proof: Proof, cluster: ControlPlane, folder: Path) -> None:
    proofs.namespaces(cluster)
    things = injector.install(cluster)
    with injector.webhook(cluster, things, folder / "account") as webhook:
        proof.part("The injector, as the chart installs it")
        proofs.trust(proof, cluster)
        proof.part("Every object of every render, with webhook and admission policy in force")
        proofs.every_object(proof, cluster)
        proof.part("Pods, as the API server creates them")
        proofs.injection(proof, cluster, webhook)
        proofs.events(proof, cluster)
        proof.part("Each lock without the other")
        proofs.locks(proof, cluster, webhook)


if __name__ == "__main__":
    main(prog_name="python -m e2e.cluster")
