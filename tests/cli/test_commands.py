"""The command line as a whole, and commands without a test module of their own."""

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
    """Each example starts with the command, so that it can be copied."""
    result = enforcer(*command, "--help")
    assert result.exit_code == 0
    _, _, examples = result.stdout.partition("Example")
    assert f"\n    {' '.join(['enforcer', *command])}" in examples
    assert "Exit codes" in result.stdout


def test_help_says_how_to_undo_lasting_effects() -> None:
    """With the name of the nftables table."""
    undo = f"nft delete table inet {_TABLE.decode().rstrip(chr(0))}."
    assert undo in " ".join(enforcer("redirect", "--help").stdout.split())
    assert "cannot be undone" in enforcer("drain", "--help").stdout


def test_help_lists_every_command() -> None:
    """With one sentence for each."""
    commands = enforcer("--help").stdout.partition("Commands:\n")[2].splitlines()
    assert [line.split()[0] for line in commands] == COMMANDS
    assert all(line.endswith(".") for line in commands)


def test_the_version_is_that_of_the_package() -> None:
    """The metrics have the same."""
    assert enforcer("--version").stdout == f"enforcer, version {version('token-enforcer')}, interpreted\n"


@pytest.mark.parametrize("arguments", [["serve"], ["run", "--prot", "1"], ["check", "a", "b"], ["demo", "--port", "x"]])
def test_wrong_usage_has_exit_code_2(arguments: list[str]) -> None:
    """The message names the wrong argument."""
    result = enforcer(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "\nError: " in result.stderr


def test_check_accepts_a_valid_file(tmp_path: Path) -> None:
    """The output has the hash that the metrics show too, once the file is in force."""
    config = tmp_path / "config.yaml"
    config.write_text(CONFIG)
    result = enforcer("check", str(config))
    note = f"{config}:7:5: note: rules[0]: everybody is allowed: all methods of /**\n"
    assert (result.exit_code, result.stderr) == (0, note)
    assert result.stdout.startswith(f"{config}: good; 1 rule, hash ")


def test_check_reports_every_error_with_its_line(tmp_path: Path) -> None:
    """And their number, if there are several."""
    config = tmp_path / "config.yaml"
    config.write_text(CONFIG.replace("name: all", "nam: all").replace("client_id", "client"))
    result = enforcer("check", str(config))
    assert (result.exit_code, result.stdout) == (2, "")
    *errors, count = result.stderr.splitlines()
    assert len(errors) == 3
    assert all(line.startswith(f"{config}:") for line in errors)
    assert count == "3 errors"


def test_check_reports_a_missing_file_in_one_line(tmp_path: Path) -> None:
    """With exit code 2."""
    result = enforcer("check", str(tmp_path / "config.yaml"))
    assert result.exit_code == 2
    assert result.stderr == f"{tmp_path}/config.yaml: cannot be read: No such file or directory\n"


def test_schema_is_json_schema() -> None:
    """For editors."""
    result = enforcer("schema")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["$schema"].startswith("https://json-schema.org/")
    assert "rule_files" in json.loads(result.stdout)["properties"]
    assert [*json.loads(enforcer("schema", "rules").stdout)["properties"]] == ["rules", "rule_defaults"]
    assert [*json.loads(enforcer("schema", "tests").stdout)["properties"]] == ["tokens", "tests"]
    assert enforcer("schema", "others").exit_code == 2
