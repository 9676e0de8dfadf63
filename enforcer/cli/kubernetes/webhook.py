"""`enforcer webhook`: the admission webhook."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import click

from enforcer.cli._options import PAIR, Parsed
from enforcer.kubernetes import names
from enforcer.kubernetes.settings import ANNOTATIONS, OPTIONS, Settings, SettingsError, with_options, with_values
from enforcer.kubernetes.sidecar import Mode
from enforcer.kubernetes.webhook.cluster import SERVICE_ACCOUNT
from enforcer.kubernetes.webhook.locks import ALLOWED
from enforcer.kubernetes.webhook.own_objects import Names
from enforcer.kubernetes.webhook.server import Options, run
from enforcer.operations.logs import LogOutput
from enforcer.settings.connections.addresses import with_port
from enforcer.settings.log import Log
from enforcer.units import parse_positive_duration, parse_size

_NAMES = ("service", "secret", "configuration")
_FILES = ("tls_certificate", "tls_key")

F = TypeVar("F", bound=Callable[..., Any])


def _annotations(text: str) -> frozenset[str]:
    allowed = frozenset(filter(None, text.split(",")))
    if unknown := sorted(allowed - ANNOTATIONS.keys()):
        raise ValueError(f"{unknown[0]} is not an annotation; known: {', '.join(ANNOTATIONS)}")
    return allowed


def _limit(name: str, default: int | str, of: str) -> Callable[[F], F]:
    """Return a decorator that adds the option for a limit: a size if its default is a text, otherwise a number."""
    if isinstance(default, str):
        return click.option(
            name, type=Parsed("SIZE", parse_size), default=default, show_default=True, help=f"The largest size {of}"
        )
    number = click.IntRange(min=1)
    text = f"The largest number {of}"
    return click.option(name, type=number, metavar="NUMBER", default=default, show_default=True, help=text)


@click.command(name="webhook")
@click.option("--listen", default=":8443", show_default=True, metavar="ADDRESS", help="Address for API servers (TLS).")
@click.option("--admin", default=":9091", show_default=True, metavar="ADDRESS", help="Address for health and metrics.")
@click.option("--service", metavar="NAME", help="The webhook's Service; its certificate is for that name.")
@click.option("--secret", metavar="NAME", help="The Secret for its own keys; initially empty.")
@click.option("--configuration", metavar="NAME", help="Its MutatingWebhookConfiguration: caBundle and path are set.")
@click.option("--tls-certificate", type=click.Path(path_type=Path), help="A certificate file, instead of its own.")
@click.option("--tls-key", type=click.Path(path_type=Path), help="The key of --tls-certificate.")
@click.option("--client-ca", type=click.Path(path_type=Path), help="Authorities of API servers' client certificates.")
@click.option("--client-name", multiple=True, metavar="NAME", help="A common name of API servers' certificates.")
@_limit("--review-size", "3MiB", "of a review; all running ones together take at most four times as much memory.")
@click.option(
    "--timeout",
    type=Parsed("DURATION", parse_positive_duration),
    default="10s",
    show_default=True,
    help="The longest time that a review takes; API servers wait for timeoutSeconds of the webhook configuration.",
)
@_limit("--connections", 512, "of connections (50 KB each).")
@_limit("--peer-connections", 256, "of connections of one API server; others are reset.")
@_limit("--held-input", "16MiB", "of the input that waits to be decrypted.")
@click.option("--image", help="The sidecar's image (default: that of this version).")
@click.option("--image-pull-secret", metavar="NAME", help="The Secret in the pods' namespace for the image.")
@click.option("--mode", type=click.Choice([mode.value for mode in Mode]), help="The sidecars' mode (default: port).")
@click.option("--policy-configmap", metavar="NAME[/KEY]", help="The policy (default: WORKLOAD-enforcer).")
@click.option("--credentials-secret", metavar="NAME", help="The client's credentials (default: WORKLOAD-enforcer).")
@click.option(
    "--native-sidecar", type=click.Choice(["auto", "true", "false"]), help="Use native sidecars (default: auto)."
)
@click.option("--set", "values", type=PAIR, multiple=True, help="Set a key of the chart's sidecar: logLevel=debug.")
@click.option(
    "--allowed-annotations",
    type=Parsed("NAME,…", _annotations),
    default=",".join(name for name in ANNOTATIONS if name in ALLOWED),
    help="Annotations that pods may use, without enforcer.dev/ (default: all but image, image-pull-policy and "
    "container-patch). Those of namespaces are not restricted.",
)
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

    Only reviews of API servers are accepted: by a secret path, which the webhook publishes in its configuration, or
    with --client-ca by their client certificates.

    Exit codes: 0 stopped by a signal, 1 an address cannot be listened on or a file cannot be read, 2 wrong usage.

    \b
    Examples:
      enforcer webhook --service enforcer-injector --secret enforcer-injector-keys --configuration enforcer-injector
      enforcer webhook --tls-certificate tls.crt --tls-key tls.key --client-ca ca.crt --client-name apiserver
    """
    process = Options(
        listen=listen,
        admin=admin,
        api_server=_api_server(os.environ),
        account=service_account,
        settings=settings_of(options, values),
        allowed_annotations=options["allowed_annotations"],
        review_size=options["review_size"],
        timeout=options["timeout"],
        connections=options["connections"],
        peer_connections=options["peer_connections"],
        held_input=options["held_input"],
        **_trust(options, service_account),
    )
    with LogOutput(Log(level=log_level, format=log_format)):
        run(process)


def _api_server(environment: Mapping[str, str]) -> str:
    """Return the API server's URL, from the variables that the kubelet sets in every container."""
    host, port = (environment.get(f"KUBERNETES_SERVICE_{part}") for part in ("HOST", "PORT"))
    if not host or not port:
        raise click.UsageError("KUBERNETES_SERVICE_HOST is not set: this command runs in a pod; see `enforcer inject`")
    return f"https://{with_port(host, port)}"


def _trust(options: Mapping[str, Any], account: Path) -> dict[str, Any]:
    """Return the members of `Options` for certificates and authentication; raises UsageError."""
    objects, files = ([options[name] for name in group if options[name]] for group in (_NAMES, _FILES))
    client_ca, client_names = options["client_ca"], frozenset(options["client_name"])
    if len(files) == 1:
        raise click.UsageError("--tls-certificate and --tls-key belong together")
    if client_names and client_ca is None:
        raise click.UsageError("--client-name needs --client-ca")
    needed = 0 if files and client_ca is not None else len(_NAMES)
    if len(objects) != needed:
        raise click.UsageError(
            "give --service, --secret and --configuration, or both --tls-certificate and --client-ca"
        )
    own = Names(_namespace(account), *objects) if objects else None
    return {"names": own, "files": tuple(files) or None, "client_ca": client_ca, "client_names": client_names}


def _namespace(account: Path) -> str:
    try:
        return (account / "namespace").read_text("ascii").strip()
    except (OSError, UnicodeError) as error:
        raise click.UsageError(f"cannot read the webhook's namespace: {error}") from None


def settings_of(options: Mapping[str, Any], values: Sequence[tuple[str, str]]) -> Settings:
    """Return the default settings of sidecars, from options and `--set` values; raises UsageError."""
    overrides = {name: value for name in OPTIONS if (value := options.get(name.replace("-", "_"))) is not None}
    try:
        settings = with_values(Settings(image=f"{names.IMAGE}:{version('token-enforcer')}"), dict(values))
        return with_options(settings, overrides)
    except SettingsError as error:
        raise click.UsageError(str(error)) from None
