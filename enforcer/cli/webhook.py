"""`enforcer webhook`."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click

from enforcer.cli._param_types import PAIR
from enforcer.kubernetes import names
from enforcer.kubernetes.settings import OPTIONS, Settings, SettingsError, with_options, with_values
from enforcer.kubernetes.sidecar import Mode
from enforcer.kubernetes.webhook.certificate_rotation import Names
from enforcer.kubernetes.webhook.cluster import SERVICE_ACCOUNT
from enforcer.kubernetes.webhook.server import Options, run
from enforcer.operations import logs
from enforcer.server.listening import AddressError

_NAMES = ("service", "secret", "configuration")
_FILES = ("tls_certificate", "tls_key")


@click.command(name="webhook")
@click.option("--listen", default=":8443", show_default=True, metavar="ADDRESS", help="Where API servers come, by TLS.")
@click.option("--admin", default=":9091", show_default=True, metavar="ADDRESS", help="Where health and metrics are.")
@click.option("--service", metavar="NAME", help="The webhook's own Service, whose name its certificate is for.")
@click.option("--secret", metavar="NAME", help="A Secret for its own authority, empty at first, which is kept here.")
@click.option("--configuration", metavar="NAME", help="The MutatingWebhookConfiguration, which is told whom to trust.")
@click.option("--tls-certificate", type=click.Path(path_type=Path), help="In place of these three: a certificate …")
@click.option("--tls-key", type=click.Path(path_type=Path), help="… and its key, which somebody else keeps.")
@click.option("--image", help="The sidecar's image; this version's unless said.")
@click.option("--mode", type=click.Choice([mode.value for mode in Mode]), help="How requests come to the enforcer.")
@click.option("--policy-configmap", metavar="NAME[/KEY]", help="The policy, where neither pod nor namespace says one.")
@click.option("--credentials-secret", metavar="NAME", help="The Secret with client-id and client-secret, likewise.")
@click.option("--native-sidecar", type=click.Choice(["auto", "true", "false"]), help="Whether sidecars are native.")
@click.option("--set", "values", type=PAIR, multiple=True, help="A value of the chart's sidecar: logLevel=debug.")
@click.option(
    "--service-account",
    type=click.Path(path_type=Path),
    default=SERVICE_ACCOUNT,
    show_default=True,
    help="Folder with the token, ca.crt and namespace of its own ServiceAccount.",
)
@click.option(
    "--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info", show_default=True
)
@click.option("--log-format", type=click.Choice(["text", "json"]), default="text", show_default=True)
def command(
    values: Sequence[tuple[str, str]],
    log_level: str,
    log_format: Any,
    service_account: Path,
    listen: str,
    admin: str,
    **given: Any,
) -> None:
    """Put the sidecar into pods as they are created, as an admission webhook of Kubernetes.

    It runs in the cluster; the chart installs it. It is asked for pods that are labelled enforcer.dev/inject: enabled,
    or whose namespace is; annotations of the pod and of the namespace say what is wanted (docs/kubernetes.md).

    \b
    Examples:
      enforcer webhook --service enforcer-injector --secret enforcer-injector-tls --configuration enforcer-injector
      enforcer webhook --tls-certificate /etc/tls/tls.crt --tls-key /etc/tls/tls.key --mode loopback
    """
    options = Options(
        listen=listen,
        admin=admin,
        api_server=_api_server(os.environ),
        account=service_account,
        trusted=_trusted(given, service_account),
        settings=settings_of(given, values),
    )
    logs.configure(log_level, log_format)
    try:
        run(options)
    except AddressError as error:
        click.echo(error, err=True)
        sys.exit(1)


def _api_server(environment: Mapping[str, str]) -> str:
    """Return the URL that the kubelet tells every container of."""
    host, port = (environment.get(f"KUBERNETES_SERVICE_{part}") for part in ("HOST", "PORT"))
    if not host or not port:
        raise click.UsageError("there is no KUBERNETES_SERVICE_HOST: this runs in a pod; `enforcer inject` needs none")
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"


def _trusted(given: Mapping[str, Any], account: Path) -> Names | tuple[Path, Path]:
    ours, files = ([given[name] for name in which if given[name]] for which in (_NAMES, _FILES))
    if len(files) == len(_FILES) and not ours:
        return files[0], files[1]
    if len(ours) != len(_NAMES) or files:
        raise click.UsageError("say --service, --secret and --configuration, or --tls-certificate and --tls-key")
    try:
        namespace = (account / "namespace").read_text("ascii").strip()
    except (OSError, UnicodeError) as error:
        raise click.UsageError(f"the own namespace is unknown: {error}") from None
    return Names(namespace, *ours)


def settings_of(given: Mapping[str, Any], values: Sequence[tuple[str, str]]) -> Settings:
    """Return what is wanted of all sidecars, from options by their names and from `--set`; raises UsageError."""
    said = {name: given[name.replace("-", "_")] for name in OPTIONS if name.replace("-", "_") in given}
    try:
        settings = with_values(Settings(image=f"{names.IMAGE}:{version('token-enforcer')}"), dict(values))
        return with_options(settings, {name: value for name, value in said.items() if value is not None})
    except SettingsError as error:
        raise click.UsageError(str(error)) from None
