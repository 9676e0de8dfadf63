"""`enforcer uninject`: takes the sidecar out of manifests."""

from __future__ import annotations

from collections.abc import Sequence

import click

from enforcer.cli.kubernetes._manifest_input import inputs_options, read_inputs
from enforcer.cli.kubernetes._manifests import ManifestCommand, output_options, report, write
from enforcer.kubernetes.inject.uninjector import uninject_all
from enforcer.yamltext.stream import Stream


@click.command(name="uninject", cls=ManifestCommand)
@inputs_options
@output_options
def command(stdin: str | None, filenames: Sequence[str], recursive: bool, form: str | None, quiet: bool) -> None:
    """Take the sidecar out of manifests that `enforcer inject` changed, and write them as they were before.

    Exit codes: 0 success, 1 usage error or unreadable manifests.

    \b
    Examples:
      enforcer uninject -f injected.yaml | kubectl apply -f -
      kubectl get deployment,service country-app -o yaml | enforcer uninject - | kubectl apply -f -
    """
    stream = Stream(read_inputs(stdin, filenames, recursive))
    outcome = uninject_all(stream.objects)
    write(stream, outcome, form)
    report(outcome, quiet)
