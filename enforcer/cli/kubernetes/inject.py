"""`enforcer inject`: puts the sidecar into manifests."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import click

from enforcer.cli._options import PAIR, Parsed
from enforcer.cli.kubernetes._kube_version import kube_version_option
from enforcer.cli.kubernetes._manifest_input import inputs_options, read_inputs
from enforcer.cli.kubernetes._manifests import MISSING, REFUSED, ManifestCommand, output_options, report, write
from enforcer.cli.kubernetes._sidecar_policy import read_policy
from enforcer.errors import Problem
from enforcer.kubernetes import names
from enforcer.kubernetes.carried_options import NAMES, default_settings
from enforcer.kubernetes.inject.check import check_all
from enforcer.kubernetes.inject.injector import inject_all
from enforcer.kubernetes.inject.prepare import prepare_all
from enforcer.kubernetes.inject.report import Line, Result, called
from enforcer.kubernetes.inject.workload_pass import Options
from enforcer.kubernetes.selectors import parse_selector
from enforcer.kubernetes.settings import OPTIONS, Settings, SettingsError, with_annotations, with_options, with_values
from enforcer.kubernetes.sidecar import Mode
from enforcer.kubernetes.workloads import workload_of
from enforcer.yamltext.objects import Object, identity, section
from enforcer.yamltext.stream import Stream

_BY: Final = "enforcer-inject"


@click.command(name="inject", cls=ManifestCommand)
@inputs_options
@output_options
@click.option(
    "--mode",
    metavar="MODE",
    help="The way to the enforcer. port (default): it takes over the name of the app's port; loopback: it "
    "listens on the app's port, the app on 127.0.0.1; transparent: a privileged init container redirects the port.",
)
@click.option("--port", metavar="PORT", help="Name or number of the app's port, if there are several.")
@click.option("--container", metavar="NAME", help="Name of the app's container, if there are several.")
@click.option("--listen-port", metavar="PORT", help=f"The enforcer's own port (default: {names.LISTEN_PORT}).")
@click.option("--app-env", type=PAIR, multiple=True, help="Set an app variable in mode loopback: HOST=127.0.0.1.")
@click.option("--app-arg", multiple=True, help="Add an app argument in mode loopback: --host=127.0.0.1.")
@click.option("--policy", type=click.Path(path_type=Path), help="Policy file to put into a ConfigMap.")
@click.option(
    "--policy-configmap",
    metavar="NAME[/KEY]",
    help=f"The ConfigMap with the policy (default: WORKLOAD-enforcer/{names.POLICY_KEY}).",
)
@click.option(
    "--credentials-secret",
    metavar="NAME",
    help=f"The Secret with {names.CLIENT_ID_KEY} and {names.CLIENT_SECRET_KEY} (default: WORKLOAD-enforcer).",
)
@click.option("--image", metavar="IMAGE", help=f"The enforcer's image (default: {names.IMAGE}:VERSION).")
@click.option("--image-pull-secret", metavar="NAME", help="The Secret with which pods pull the enforcer's image.")
@click.option(
    "--native-sidecar",
    metavar="true|false|auto",
    help="Use a native sidecar, an init container that keeps running (default: auto, if Services can find it).",
)
@kube_version_option("The oldest Kubernetes version that the output must support.")
@click.option(
    "--network-policy/--no-network-policy",
    default=None,
    help="Add a NetworkPolicy that closes the bypass around the enforcer (default: in mode port).",
)
@click.option("--prepare", is_flag=True, help="First of two steps: name the port, and have Services use the name.")
@click.option("--force-service", is_flag=True, help="Change Services that use the port's number, despite an outage.")
@click.option("--fix-hpa", is_flag=True, help="Have autoscalers measure the app's container only.")
@click.option(
    "--scrape",
    type=click.Choice(["warn", "passthrough"]),
    help="If Prometheus scrapes the protected port: warn (default), or passthrough to serve the app's metrics on the "
    "admin port.",
)
@click.option("--set", "values", type=PAIR, multiple=True, help="Set a key of the chart's sidecar: logLevel=debug.")
@click.option(
    "-l",
    "--selector",
    type=Parsed("SELECTOR", parse_selector),
    help="Only workloads whose labels, or whose pods' labels, match.",
)
@click.option("--skip-kind", "skipped", multiple=True, metavar="KIND", help="Skip this kind, such as DaemonSet.")
@click.option("--check", is_flag=True, help="Write nothing; exit with 3 if a workload is not injected, or open.")
@click.option("--all-or-nothing", is_flag=True, help="Write nothing if a workload is refused.")
@click.option("--strict", is_flag=True, help="Treat warnings as refusals, and write nothing if there are any.")
def command(
    stdin: str | None, filenames: Sequence[str], recursive: bool, form: str | None, quiet: bool, **arguments: Any
) -> None:
    """Put the enforcer beside the app in each workload of the manifests, and write the manifests to standard output.

    Only what must change changes; everything else, comments included, stays the same. A report on each object goes to
    standard error. Annotations of a pod template (enforcer.dev/mode and others) override the options for one workload.

    A workload that cannot be injected is written as it is, and its refusal is the last line of the report; the others
    are injected. Workloads that serve no HTTP, such as databases, are left alone.

    Exit codes: 0 success, 1 usage error or unreadable input, 2 a workload was refused, 3 --check found a workload
    without sidecar, one that clients reach without it, one that differs from a new injection, or no workload at all.
    In a pipeline, a shell sees only the exit code of the last command: use --all-or-nothing there, or set -o pipefail.

    \b
    Examples:
      enforcer inject -f deployment.yaml --policy config.yaml | kubectl apply -f -
      kubectl get deployment,service country-app -o yaml | enforcer inject - | kubectl apply -f -
      enforcer inject -f k8s/ -R --policy config.yaml --mode loopback --app-env HOST=127.0.0.1
      enforcer inject -f rendered.yaml --check
      helm install app ./app --post-renderer enforcer --post-renderer-args inject --post-renderer-args -
    """
    stream = Stream(read_inputs(stdin, filenames, recursive))
    options, warnings = _options(arguments, stream.function_config())
    if options.settings.app_env or options.settings.app_args:
        _check_loopback(stream.objects, options.settings)
    run = check_all if arguments["check"] else prepare_all if arguments["prepare"] else inject_all
    outcome = run(stream.objects, options)
    if not any(map(workload_of, stream.objects)):
        result = Result.MISSING if arguments["check"] else Result.WARNING
        inputs = ["standard input" if name == "-" else name for name in (*filenames, *([stdin] if stdin else []))]
        lines = [Line(name, result, f"no workload in {name}") for name in inputs]
        outcome = replace(outcome, report=(*lines, *outcome.report))
    lines = [Line(str(arguments["policy"]), Result.WARNING, str(warning)) for warning in warnings]
    if form == "patch":
        # A kustomization's patches cannot add objects.
        text = "the patches do not contain it: add it to the resources of the kustomization (from -o yaml)"
        lines += [Line(called(obj), Result.WARNING, text, identity(obj)[1]) for _, obj in outcome.added]
    outcome = replace(outcome, report=(*outcome.report, *lines))
    strict = arguments["strict"] and outcome.has(Result.WARNING)
    refused = strict or outcome.has(Result.REFUSED)
    withheld = strict or (refused and (arguments["strict"] or arguments["all_or_nothing"]))
    if not withheld and not arguments["check"]:
        write(stream, outcome, form)
    report(outcome, quiet)
    sys.exit(REFUSED if refused else MISSING if outcome.has(Result.MISSING) else 0)


def _check_loopback(objects: Sequence[Object], settings: Settings) -> None:
    """Raise SettingsError if --app-env or --app-arg is given, and no workload can be in mode loopback."""
    templates = [workload.template for obj in objects if (workload := workload_of(obj)) is not None]
    places = [*templates, *(obj for obj in objects if obj.get("kind") == "Namespace")]
    modes = {section(place, "metadata", "annotations").get(f"{names.PREFIX}mode") for place in places}
    if settings.mode is not Mode.LOOPBACK and Mode.LOOPBACK.value not in modes:
        raise SettingsError([f"--app-env and --app-arg are for --mode loopback; the mode is {settings.mode}"])


def _options(arguments: Mapping[str, Any], config: Mapping[str, Any]) -> tuple[Options, Sequence[Problem]]:
    """Return the run's options and warnings about the policy; raises SettingsError and ConfigError."""
    package = version("token-enforcer")
    settings = with_values(default_settings(package), dict(arguments["values"]))
    # The keys of a KRM function's configuration are the names of the annotations.
    settings = with_annotations(settings, {f"{names.PREFIX}{name}": value for name, value in config.items()})
    options = {name: value for name in OPTIONS if (value := arguments[name.replace("-", "_")]) is not None}
    settings = with_options(settings, options)
    settings = replace(
        settings,
        network_policy=arguments["network_policy"],
        app_env=dict(arguments["app_env"]),
        app_args=arguments["app_arg"],
        scrape_passthrough=arguments["scrape"] == "passthrough",
    )
    policy = None
    warnings: Sequence[Problem] = ()
    if arguments["policy"] is not None:
        policy, settings, warnings = read_policy(arguments["policy"], settings)
    wanted = Options(
        settings=settings,
        version=arguments["kube_version"],
        package=package,
        by=_BY,
        policy=policy,
        force_service=arguments["force_service"],
        fix_hpa=arguments["fix_hpa"],
        selector=arguments["selector"] or {},
        skipped_kinds=frozenset(kind.lower() for kind in arguments["skipped"]),
        explicit=_explicit(arguments, [*config, *options]),
    )
    return wanted, warnings


def _explicit(arguments: Mapping[str, Any], others: Sequence[str]) -> frozenset[str]:
    """Return the names of the options that were given, so that those of a former injection do not apply."""
    switches = {
        "network-policy": arguments["network_policy"] is not None,
        "app-env": arguments["app_env"],
        "app-arg": arguments["app_arg"],
        "scrape": arguments["scrape"] is not None,
        # The policy's upstream.url says it.
        "upstreamScheme": arguments["policy"] is not None,
    }
    named = [
        *(key for key, _ in arguments["values"]),
        *others,
        *(name for name, is_given in switches.items() if is_given),
    ]
    return frozenset(NAMES.get(name, name) for name in named)
