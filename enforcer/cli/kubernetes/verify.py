"""`enforcer verify`: reports for each workload whether clients can bypass the enforcer."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from enforcer.cli.kubernetes._assumption_options import assumption_options
from enforcer.cli.kubernetes._kube_version import kube_version_option
from enforcer.cli.kubernetes._manifest_input import inputs_options, read_inputs
from enforcer.errors import EnforcerError
from enforcer.kubernetes.verify.enforcers import repository
from enforcer.kubernetes.verify.object_set import Assumptions
from enforcer.kubernetes.verify.report import as_json, as_text
from enforcer.kubernetes.verify.verdicts import Verdict, verify
from enforcer.yamltext.stream import Stream


@click.command(name="verify")
@inputs_options
@click.option("-n", "--namespace", metavar="NAME", help="The namespace of objects that name none.")
@assumption_options
@kube_version_option("The oldest version of Kubernetes that the manifests are for.")
@click.option("-o", "--output", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def command(
    stdin: str | None,
    filenames: Sequence[str],
    recursive: bool,
    namespace: str | None,
    images: Sequence[str],
    accepted: Sequence[str],
    no_network_policies: bool,
    kube_version: tuple[int, int],
    form: str,
) -> None:
    """Report for each workload of finished manifests whether clients can reach its app without passing the enforcer.

    The verdict comes from the objects as Kubernetes will run them, however they were made: from the programs that the
    containers run, the ports of the pods, the Services that lead to them, and all NetworkPolicies together. Pass all
    objects of the namespace; a Service that is not among them cannot be seen.

    \b
    protected    no client reaches the app without passing the enforcer
    conditional  so, if the network enforces NetworkPolicies, or as the line says
    open         clients can: the line says which way
    portless     nothing suggests that its pods listen on a port
    excluded     its pods are labelled enforcer.dev/inject: disabled

    Exit codes: 0 nothing is open, 1 a workload is open, or there is no workload, 2 wrong usage or unreadable input.

    \b
    Examples:
      enforcer verify -f injected.yaml
      enforcer verify -f k8s/ -R -n shop --accept metrics
      kubectl get deployment,statefulset,service,networkpolicy,configmap -o yaml | enforcer verify -
    """
    try:
        objects = Stream(read_inputs(stdin, filenames, recursive)).objects
    except EnforcerError as error:
        click.echo(error, err=True)
        sys.exit(2)
    findings = verify(
        objects,
        Assumptions(
            images=frozenset(map(repository, images)),
            oldest=kube_version,
            namespace=namespace,
            enforced=not no_network_policies,
            accepted=frozenset(port.lower() for port in accepted),
        ),
    )
    if form == "json":
        click.echo(as_json(findings), nl=False)
    else:
        for line in as_text(findings):
            click.echo(line)
    if not findings:
        click.echo("no workload in the input", err=True)
    sys.exit(1 if not findings or any(finding.verdict is Verdict.OPEN for finding in findings) else 0)
