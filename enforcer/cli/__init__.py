"""The command line: one module a command, imported when it is called."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util

import click

_COMMANDS = {
    "check": "Say what is wrong with a configuration, and serve nothing.",
    "demo": "Show it at work, with an authorization server and an app.",
    "doctor": "Try the servers of a configuration, and say what is wrong.",
    "drain": "Tell the enforcer of a pod that the pod ends.",
    "explain": "Tell how a request is decided, and why.",
    "import-openapi": "Propose rules from an OpenAPI document, or compare.",
    "inject": "Put the enforcer into Kubernetes manifests, beside the app.",
    "learn": "Propose rules from a decision log.",
    "redirect": "Have the kernel redirect a port, in a sidecar's pod.",
    "run": "Serve by a configuration.",
    "schema": "Print the configuration's JSON Schema, for editors.",
    "test": "Run tests of a policy.",
    "uninject": "Take the enforcer out of Kubernetes manifests again.",
    "webhook": "Put the sidecar into pods as they are created.",
    "why": "Ask a running enforcer why it refused a request.",
}


class _Commands(click.Group):
    def list_commands(self, context: click.Context) -> list[str]:
        return sorted(_COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in _COMMANDS:
            return None
        command = importlib.import_module(f"enforcer.cli.{name.replace('-', '_')}").command
        return command if isinstance(command, click.Command) else None

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(sorted(_COMMANDS.items()))


def _show_version(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        found = importlib.util.find_spec("enforcer.proxy.exchange")
        compiled = found is not None and not (found.origin or "").endswith(".py")
        how = "compiled" if compiled else "interpreted"
        click.echo(f"enforcer, version {importlib.metadata.version('token-enforcer')}, {how}")
        context.exit()


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_show_version,
    help="Show the version, and whether the path of requests is compiled, and exit.",
)
def main() -> None:
    """An authorization proxy: bearer tokens in, rules in YAML, the right answer out.

    Exit codes, where a command has none of its own: 0 fine, 1 the answer is no, 2 wrong use or a wrong configuration.

    \b
    Examples:
      enforcer check config.yaml
      enforcer run config.yaml
      enforcer demo --once
    """
