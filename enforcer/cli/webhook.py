"""`enforcer webhook`: the admission webhook."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click

from enforcer.cli._options import PAIR
from enforcer.kubernetes import names
from enforcer.kubernetes.settings import OPTIONS, Settings, SettingsError, with_options, with_values
from enforcer.kubernetes.sidecar import Mode
from enforcer.kubernetes.webhook.certificate_rotation import Names
from enforcer.kubernetes.webhook.cluster import SERVICE_ACCOUNT
from enforcer.kubernetes.webhook.server import Options, run
from enforcer.operations.logs import LogOutput
from enforcer.settings.addresses import with_port
from enforcer.settings.log import Log

_NAMES = ("service", "secret", "configuration")
_FILES = ("tls_certificate", "tls_key")


@click.command(name="webhook")
@click.option("--listen", default=":8443", show_default=True, metavar="ADDRESS", help="Address for API servers (TLS).")
@click.option("--admin", default=":9091", show_default=True, metavar="ADDRESS", help="Address for health and metrics.")
@click.option("--service", metavar="NAME", help="The webhook's Service; its certificate is for that name.")
@click.option("--secret", metavar="NAME", help="The Secret for its certificate authority; initially empty.")
@click.option("--configuration", metavar="NAME", help="The MutatingWebhookConfiguration whose caBundle is set.")
@click.option("--tls-certificate", type=click.Path(path_type=Path), help="A certificate file, instead of these three.")
@click.option("--tls-key", type=click.Path(path_type=Path), help="The key of --tls-certificate.")
@click.option("--image", help="The sidecar's image (default: that of this version).")
@click.option("--mode", type=click.Choice([mode.value for mode in Mode]), help="The sidecars' mode (default: port).")
@click.option("--policy-configmap", metavar="NAME[/KEY]", help="The policy (default: WORKLOAD-enforcer).")
@click.option("--credentials-secret", metavar="NAME", help="The client's credentials (default: WORKLOAD-enforcer).")
@click.option(
    "--native-sidecar", type=click.Choice(["auto", "true", "false"]), help="Use native sidecars (default: auto)."
)
@click.option("--set", "values", type=PAIR, multiple=True, help="Set a key of the chart's sidecar: logLevel=debug.")
@click.option(
    "--service-account",
    type=click.Path(path_type=Path),
    default=SERVICE_ACCOUNT,
    show_default=True,
    help="Folder with the token, ca.crt and namespace of the webhook's ServiceAccount.",
)
@click.option(
    "--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info", show_default=True
)
@click.option("--log-format", type=click.Choice(["text", "json"]), default="text", show_default=True)
def command(
    values: Sequence[tuple[str, str]],
    log_level: Any,
    log_format: Any,
    service_account: Path,
    listen: str,
    admin: str,
    **options: Any,
) -> None:
    """Run the Kubernetes admission webhook, which puts the sidecar into pods as they are created.

    It runs in the cluster; the Helm chart installs it. API servers call it for pods with the label
    enforcer.dev/inject: enabled, and for pods in a namespace with that label. Annotations of the pod and of the
    namespace override the options below (docs/kubernetes.md).

    Exit codes: 0 stopped by a signal, 1 an address cannot be listened on, 2 wrong usage.

    \b
    Examples:
      enforcer webhook --service enforcer-injector --secret enforcer-injector-tls --configuration enforcer-injector
      enforcer webhook --tls-certificate /etc/tls/tls.crt --tls-key /etc/tls/tls.key --mode loopback
    """
    process = Options(
        listen=listen,
        admin=admin,
        api_server=_api_server(os.environ),
        account=service_account,
        certificate=_certificate(options, service_account),
        settings=settings_of(options, values),
    )
    with LogOutput(Log(level=log_level, format=log_format)):
        run(process)


def _api_server(environment: Mapping[str, str]) -> str:
    """Return the API server's URL, from the variables that the kubelet sets in every container."""
    host, port = (environment.get(f"KUBERNETES_SERVICE_{part}") for part in ("HOST", "PORT"))
    if not host or not port:
        raise click.UsageError("KUBERNETES_SERVICE_HOST is not set: this command runs in a pod; see `enforcer inject`")
    return f"https://{with_port(host, port)}"


def _certificate(options: Mapping[str, Any], account: Path) -> Names | tuple[Path, Path]:
    objects, files = ([options[name] for name in group if options[name]] for group in (_NAMES, _FILES))
    if len(files) == len(_FILES) and not objects:
        return files[0], files[1]
    if len(objects) != len(_NAMES) or files:
        raise click.UsageError("give --service, --secret and --configuration, or --tls-certificate and --tls-key")
    try:
        namespace = (account / "namespace").read_text("ascii").strip()
    except (OSError, UnicodeError) as error:
        raise click.UsageError(f"cannot read the webhook's namespace: {error}") from None
    return Names(namespace, *objects)


def settings_of(options: Mapping[str, Any], values: Sequence[tuple[str, str]]) -> Settings:
    """Return the default settings of sidecars, from options and `--set` values; raises UsageError."""
    given = {name: value for name in OPTIONS if (value := options.get(name.replace("-", "_"))) is not None}
    try:
        settings = with_values(Settings(image=f"{names.IMAGE}:{version('token-enforcer')}"), dict(values))
        return with_options(settings, given)
    except SettingsError as error:
        raise click.UsageError(str(error)) from None
