"""`enforcer inject`."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import click

from enforcer.cli._manifest_input import inputs_options, read_inputs
from enforcer.cli._manifests import MISSING, REFUSED, ManifestCommand, fail, output_options, report, write
from enforcer.cli._param_types import PAIR, Read
from enforcer.cli._sidecar_policy import read_policy
from enforcer.errors import ConfigError, Problem
from enforcer.kubernetes import names
from enforcer.kubernetes.inject.check import check_all
from enforcer.kubernetes.inject.injector import inject_all
from enforcer.kubernetes.inject.pod.pod_template import Version
from enforcer.kubernetes.inject.prepare import prepare_all
from enforcer.kubernetes.inject.report import Line, Result
from enforcer.kubernetes.inject.workload_pass import Options
from enforcer.kubernetes.selectors import parse_selector
from enforcer.kubernetes.settings import (
    OPTIONS,
    Settings,
    SettingsError,
    with_annotations,
    with_options,
    with_values,
)
from enforcer.kubernetes.sidecar import Mode
from enforcer.kubernetes.workloads import workload_of
from enforcer.yamltext.documents import ManifestError
from enforcer.yamltext.objects import Object, section
from enforcer.yamltext.stream import Stream, StreamError

_BY: Final = "enforcer-inject"
_OLDEST: Final[Version] = (1, 29)
_VERSION: Final = re.compile(r"v?([0-9]{1,3})\.([0-9]{1,3})(?:[.+-].*)?")


def _version(text: str) -> Version:
    found = _VERSION.fullmatch(text)
    if found is None:
        raise ValueError("expected a version of Kubernetes, such as 1.33")
    wanted = int(found[1]), int(found[2])
    if wanted < _OLDEST:
        raise ValueError(f"expected {'.'.join(map(str, _OLDEST))}, the oldest Kubernetes that it is for, or later")
    return wanted


@click.command(name="inject", cls=ManifestCommand)
@inputs_options
@output_options
@click.option(
    "--mode",
    metavar="MODE",
    help="How requests come to the enforcer: port, by the name of the app's port (the default); loopback, on the app's "
    "port, with the app on 127.0.0.1; transparent, by the pod's network, which takes a privileged init container.",
)
@click.option("--port", metavar="PORT", help="The app's port, by name or number, if it has several.")
@click.option("--container", metavar="NAME", help="The app's container, if there are several.")
@click.option("--listen-port", metavar="PORT", help=f"The enforcer's own port ({names.LISTEN_PORT} unless said).")
@click.option("--app-env", type=PAIR, multiple=True, help="Set for the app in mode loopback: HOST=127.0.0.1.")
@click.option("--app-arg", multiple=True, help="Added to the app's arguments in mode loopback: --host=127.0.0.1.")
@click.option("--policy", type=click.Path(path_type=Path), help="A policy that a ConfigMap is made of.")
@click.option(
    "--policy-configmap",
    metavar="NAME[/KEY]",
    help=f"The ConfigMap with the policy (WORKLOAD-enforcer/{names.POLICY_KEY} unless said).",
)
@click.option(
    "--credentials-secret",
    metavar="NAME",
    help=f"The Secret with {names.CLIENT_ID_KEY} and {names.CLIENT_SECRET_KEY} (WORKLOAD-enforcer unless said).",
)
@click.option("--image", metavar="IMAGE", help=f"The enforcer's image ({names.IMAGE}:VERSION unless said).")
@click.option(
    "--native-sidecar",
    metavar="WHETHER",
    help="Whether it is an init container that stays: true, false or auto, as Kubernetes and the Services allow it.",
)
@click.option(
    "--kube-version",
    type=Read("VERSION", _version),
    default="1.29",
    show_default=True,
    help="The oldest Kubernetes that it is for.",
)
@click.option(
    "--network-policy/--no-network-policy",
    default=None,
    help="Whether a NetworkPolicy closes the way around the enforcer (in mode port, unless said).",
)
@click.option("--prepare", is_flag=True, help="Name the port, and have Services use the name: the first of two steps.")
@click.option("--force-service", is_flag=True, help="Change Services that use the port's number, with an outage.")
@click.option("--fix-hpa", is_flag=True, help="Have autoscalers look at the app's container alone.")
@click.option(
    "--scrape",
    type=click.Choice(["warn", "passthrough"]),
    default="warn",
    show_default=True,
    help="What is done where Prometheus fetches from the protected port: passthrough leads it to the admin port.",
)
@click.option("--set", "values", type=PAIR, multiple=True, help="A value of the chart's sidecar: logLevel=debug.")
@click.option("-l", "--selector", type=Read("SELECTOR", parse_selector), help="Only workloads with these labels.")
@click.option("--skip-kind", "skipped", multiple=True, metavar="KIND", help="Leave these as they are: DaemonSet.")
@click.option("--check", is_flag=True, help="Write nothing, and end with 3 if a workload is not injected.")
@click.option("--strict", is_flag=True, help="Take warnings for refusals.")
def command(
    stdin: str | None, filenames: Sequence[str], recursive: bool, form: str | None, quiet: bool, **said: Any
) -> None:
    """Put the enforcer beside the app, into each workload of manifests, and write these to standard output.

    Only what has to change does; the rest stays as it is, comments and all. What was done with each object goes to
    standard error. Annotations of the pods' template (enforcer.dev/mode and others) say otherwise for one workload.

    Exit codes: 0 fine, 1 wrong use, or what cannot be read, 2 something cannot be injected, 3 --check found something
    that is not, or no workload at all.

    \b
    Examples:
      enforcer inject -f deployment.yaml --policy config.yaml | kubectl apply -f -
      kubectl get deployment,service country-app -o yaml | enforcer inject - | kubectl apply -f -
      enforcer inject -f k8s/ -R --policy config.yaml --mode loopback --app-env HOST=127.0.0.1
      enforcer inject -f rendered.yaml --check
      helm install app ./app --post-renderer enforcer --post-renderer-args inject,-
    """
    try:
        stream = Stream(read_inputs(stdin, filenames, recursive))
        options, doubts = _options(said, stream.function_config())
        if options.settings.app_env or options.settings.app_args:
            _check_loopback(stream.objects, options.settings)
    except (ManifestError, SettingsError, ConfigError) as error:
        fail(error)
    act = check_all if said["check"] else prepare_all if said["prepare"] else inject_all
    outcome = act(stream.objects, options)
    if not any(map(workload_of, stream.objects)):
        result = Result.MISSING if said["check"] else Result.WARNING
        named = ["standard input" if name == "-" else name for name in (*filenames, *([stdin] if stdin else []))]
        lines = [Line(name, result, f"no workload in {name}") for name in named]
        outcome = replace(outcome, report=(*lines, *outcome.report))
    lines = [Line(str(said["policy"]), Result.WARNING, str(doubt)) for doubt in doubts]
    outcome = replace(outcome, report=(*outcome.report, *lines))
    refused = outcome.has(Result.REFUSED) or (said["strict"] and outcome.has(Result.WARNING))
    if not refused and not said["check"]:
        try:
            write(stream, outcome, form)
        except StreamError as error:
            fail(error)
    report(outcome, quiet)
    sys.exit(REFUSED if refused else MISSING if outcome.has(Result.MISSING) else 0)


def _check_loopback(things: Sequence[Object], settings: Settings) -> None:
    """Raise SettingsError where the app is told to listen on 127.0.0.1, and nothing is to be in the mode for that."""
    templates = [workload.template for thing in things if (workload := workload_of(thing)) is not None]
    places = [*templates, *(thing for thing in things if thing.get("kind") == "Namespace")]
    modes = {section(place, "metadata", "annotations").get(f"{names.PREFIX}mode") for place in places}
    if settings.mode is not Mode.LOOPBACK and Mode.LOOPBACK.value not in modes:
        raise SettingsError([f"--app-env and --app-arg are for --mode loopback; the mode is {settings.mode}"])


def _options(said: Mapping[str, Any], config: Mapping[str, Any]) -> tuple[Options, Sequence[Problem]]:
    """Return what is wanted, and doubts of the policy; raises SettingsError and ConfigError."""
    package = version("token-enforcer")
    settings = with_values(Settings(image=f"{names.IMAGE}:{package}"), dict(said["values"]))
    # What a KRM function is configured by is called as the annotations are.
    settings = with_annotations(settings, {f"{names.PREFIX}{name}": value for name, value in config.items()})
    options = {name: said[name.replace("-", "_")] for name in OPTIONS}
    settings = with_options(settings, {name: value for name, value in options.items() if value is not None})
    settings = replace(
        settings,
        network_policy=said["network_policy"],
        app_env=dict(said["app_env"]),
        app_args=said["app_arg"],
        scrape_passthrough=said["scrape"] == "passthrough",
    )
    policy = None
    doubts: Sequence[Problem] = ()
    if said["policy"] is not None:
        policy, settings, doubts = read_policy(said["policy"], settings)
    wanted = Options(
        settings=settings,
        version=said["kube_version"],
        package=package,
        by=_BY,
        policy=policy,
        force_service=said["force_service"],
        fix_hpa=said["fix_hpa"],
        selector=said["selector"] or {},
        skipped_kinds=frozenset(kind.lower() for kind in said["skipped"]),
    )
    return wanted, doubts
