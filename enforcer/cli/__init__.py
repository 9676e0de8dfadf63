"""The command line. Each command is a module, imported when it is called; modules with an underscore are helpers."""

from __future__ import annotations

import importlib
import importlib.metadata
import sys
from typing import Any, Final

import click

from enforcer import build_kind
from enforcer.errors import ConfigError, EnforcerError

_COMMANDS: Final = {
    "check": ("policy.check", "Report the errors of a configuration, and serve nothing."),
    "cluster-check": ("kubernetes.cluster_check", "Look whether the pods of a cluster are protected."),
    "demo": ("demo", "Show the enforcer with an authorization server and an app."),
    "doctor": ("doctor", "Try the servers of a configuration, and report what is wrong."),
    "drain": ("drain", "Take a running enforcer out of service without ending it."),
    "explain": ("policy.explain", "Show how a request is decided, and why."),
    "import-openapi": ("policy.import_openapi", "Propose rules from an OpenAPI document, or compare."),
    "inject": ("kubernetes.inject", "Add the enforcer to Kubernetes manifests, beside the app."),
    "learn": ("policy.learn", "Propose rules from a decision log."),
    "redirect": ("kubernetes.redirect", "Redirect a port in the kernel, for a sidecar's pod."),
    "run": ("run", "Serve with a configuration."),
    "schema": ("schema", "Print the JSON Schema of the configuration, for editors."),
    "test": ("policy.test", "Run policy tests."),
    "uninject": ("kubernetes.uninject", "Remove the enforcer from Kubernetes manifests."),
    "verify": ("kubernetes.verify", "Report whether clients can bypass the enforcer in a cluster."),
    "webhook": ("kubernetes.webhook", "Add the sidecar to pods as they are created."),
    "why": ("policy.why", "Ask a running enforcer why it refused a request."),
}
"""The module and the one-line help of each command, by its name."""


class _Commands(click.Group):
    def list_commands(self, context: click.Context) -> list[str]:
        return sorted(_COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in _COMMANDS:
            return None
        command = importlib.import_module(f"enforcer.cli.{_COMMANDS[name][0]}").command
        return command if isinstance(command, click.Command) else None

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except ConfigError as error:
            click.echo(error, err=True)
            if len(error.problems) > 1:
                click.echo(f"{len(error.problems)} errors", err=True)
            sys.exit(2)
        except EnforcerError as error:
            click.echo(error, err=True)
            sys.exit(1)

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in sorted(_COMMANDS.items())])


def _show_version(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        click.echo(f"enforcer, version {importlib.metadata.version('token-enforcer')}, {build_kind()}")
        context.exit()


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_show_version,
    help="Show the version, and if the request path is compiled or interpreted, and exit.",
)
def main() -> None:
    """An authorization proxy: checks access tokens against rules in YAML, before requests reach the app.

    Exit codes, unless a command documents others: 0 success, 1 a negative result, 2 wrong usage or an invalid
    configuration.

    \b
    Examples:
      enforcer check config.yaml
      enforcer run config.yaml
      enforcer demo --once
    """
