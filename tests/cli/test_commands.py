"""The command line as a user meets it."""

import json
from importlib.metadata import version
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from enforcer.cli import main
from enforcer.kubernetes.redirect import _TABLE

COMMANDS = main.list_commands(click.Context(main))
CONFIG = """\
upstream: {url: "http://127.0.0.1:8090"}
authorization_servers:
  - introspection_endpoint: http://127.0.0.1:8085/introspect
    client_id: enforcer
    client_secret: {env: ENFORCER_CLIENT_SECRET}
rules:
  - name: all
    path: /**
    public: true
"""


def enforcer(*arguments: str) -> Result:
    """Run a command."""
    return CliRunner(env={"ENFORCER_CLIENT_SECRET": "secret"}).invoke(main, arguments, prog_name="enforcer")


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS)], ids=str)
def test_help_has_examples(command: list[str]) -> None:
    """Each begins with the command itself, so that it can be copied."""
    ended = enforcer(*command, "--help")
    assert ended.exit_code == 0
    _, _, examples = ended.stdout.partition("Example")
    assert f"\n    {' '.join(['enforcer', *command])}" in examples


def test_help_tells_how_to_undo_what_lasts() -> None:
    """By the name that the table has."""
    undo = f"nft delete table inet {_TABLE.decode().rstrip(chr(0))}."
    assert undo in " ".join(enforcer("redirect", "--help").stdout.split())
    assert "cannot be undone" in enforcer("drain", "--help").stdout


def test_help_lists_every_command() -> None:
    """With a sentence on each."""
    commands = enforcer("--help").stdout.partition("Commands:\n")[2].splitlines()
    assert [line.split()[0] for line in commands] == COMMANDS
    assert all(line.endswith(".") for line in commands)


def test_the_version_is_that_of_the_package() -> None:
    """As the metrics tell it."""
    assert enforcer("--version").stdout == f"enforcer, version {version('token-enforcer')}, interpreted\n"


@pytest.mark.parametrize("arguments", [["serve"], ["run", "--prot", "1"], ["check", "a", "b"], ["demo", "--port", "x"]])
def test_wrong_use_ends_with_2(arguments: list[str]) -> None:
    """And tells what is wrong."""
    ended = enforcer(*arguments)
    assert (ended.exit_code, ended.stdout) == (2, "")
    assert "\nError: " in ended.stderr


def test_check_tells_of_a_good_file(tmp_path: Path) -> None:
    """By a hash that the metrics show too, once it is in effect."""
    config = tmp_path / "config.yaml"
    config.write_text(CONFIG)
    ended = enforcer("check", str(config))
    note = f"{config}:7:5: note: rules[0]: everybody may pass: all methods of /**\n"
    assert (ended.exit_code, ended.stderr) == (0, note)
    assert ended.stdout.startswith(f"{config}: good; 1 rule, hash ")


def test_check_tells_of_every_mistake_with_its_line(tmp_path: Path) -> None:
    """And counts them where there are several."""
    config = tmp_path / "config.yaml"
    config.write_text(CONFIG.replace("name: all", "nam: all").replace("client_id", "client"))
    ended = enforcer("check", str(config))
    assert (ended.exit_code, ended.stdout) == (2, "")
    *mistakes, count = ended.stderr.splitlines()
    assert len(mistakes) == 3
    assert all(line.startswith(f"{config}:") for line in mistakes)
    assert count == "3 mistakes"


def test_check_tells_of_a_missing_file_in_one_line(tmp_path: Path) -> None:
    """And ends with 2."""
    ended = enforcer("check", str(tmp_path / "config.yaml"))
    assert ended.exit_code == 2
    assert ended.stderr == f"{tmp_path}/config.yaml: cannot be read: No such file or directory\n"


def test_schema_is_json_schema() -> None:
    """For editors."""
    ended = enforcer("schema")
    assert ended.exit_code == 0
    assert json.loads(ended.stdout)["$schema"].startswith("https://json-schema.org/")
