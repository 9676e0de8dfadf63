"""`enforcer doctor` as a user meets it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from harness.configs import config
from harness.servers import Server, introspection_server
from harness.upstreams import Incoming, Upstream, upstream

from enforcer.cli import main

SECRET = "introspection-secret"


@pytest.fixture
def auth() -> Iterator[Server]:
    with introspection_server({}) as server:
        yield server


@pytest.fixture
def app() -> Iterator[Upstream]:
    with upstream(Incoming.respond) as server:
        yield server


def doctor(folder: Path, text: str, *options: str, colour: bool = False, **environment: str) -> Result:
    """Run the command on a configuration; `colour`: as in a terminal."""
    path = folder / "config.yaml"
    path.write_text(text)
    runner = CliRunner(env={"ENFORCER_CLIENT_SECRET": SECRET, "NO_COLOR": None, **environment})
    return runner.invoke(main, ["doctor", str(path), *options], color=colour)


def test_what_is_right_is_said_in_a_line_each(tmp_path: Path, auth: Server, app: Upstream) -> None:
    """A warning ends with 0 too; what was measured is left out here."""
    ended = doctor(tmp_path, config(app.url, auth.port))
    assert re.sub(r"\d+ ms", "N ms", ended.stdout) == (
        f"authorization server default, http://127.0.0.1:{auth.port}/introspect\n"
        f"  ✓ TCP: 127.0.0.1:{auth.port} connects in N ms\n"
        "  ✓ credentials: accepted; a token that nobody issued is called inactive\n"
        "  ! clock: the answer has no Date; compare the two clocks by hand\n"
        "  ✓ answer time: N ms, of 2 s allowed\n"
        f"upstream, {app.url}\n"
        f"  ✓ TCP: 127.0.0.1:{app.port} connects in N ms\n"
        "  ✓ HTTP: answers GET / with 200\n"
    )
    assert (ended.exit_code, ended.stderr) == (0, "")


def test_what_is_wrong_is_said_with_what_to_do_and_ends_with_1(tmp_path: Path, auth: Server) -> None:
    """Standard output has all of it."""
    ended = doctor(tmp_path, config("http://127.0.0.1:1", auth.port))
    assert ended.stdout.splitlines()[-1] == (
        "  ✗ TCP: 127.0.0.1:1: connection refused; start the server, or correct host and port"
    )
    assert ended.exit_code == 1


def test_json_says_the_same_to_a_machine(tmp_path: Path, auth: Server) -> None:
    """One object, with a verdict on the whole."""
    ended = doctor(tmp_path, config("http://127.0.0.1:1", auth.port), "--json")
    document = json.loads(ended.stdout)
    assert (document["right"], ended.exit_code) == (False, 1)
    assert [server["server"] for server in document["servers"]] == ["authorization server default", "upstream"]
    assert document["servers"][1]["findings"] == [
        {
            "what": "TCP",
            "verdict": "wrong",
            "found": "127.0.0.1:1: connection refused",
            "advice": "start the server, or correct host and port",
        }
    ]
    assert SECRET not in ended.output


@pytest.mark.parametrize(
    ("colour", "environment", "coloured"), [(True, {}, True), (True, {"NO_COLOR": "1"}, False), (False, {}, False)]
)
def test_colours_are_for_a_terminal_that_may_have_them(
    colour: bool, environment: dict[str, str], coloured: bool, tmp_path: Path, auth: Server, app: Upstream
) -> None:
    """https://no-color.org is heeded."""
    ended = doctor(tmp_path, config(app.url, auth.port), colour=colour, **environment)
    assert ("\x1b[" in ended.stdout) == coloured


def test_a_configuration_that_cannot_be_read_ends_with_2(tmp_path: Path) -> None:
    """Nobody is asked anything."""
    ended = doctor(tmp_path, "upstream: {}\n")
    assert (ended.exit_code, ended.stdout) == (2, "")
    assert ended.stderr.endswith("\n3 mistakes\n")


def test_each_upstream_is_tried_and_named(tmp_path: Path, auth: Server, app: Upstream) -> None:
    """The one that has no name is the first."""
    named = {"shop": {"url": app.url}, "gone": {"url": "http://127.0.0.1:1"}}
    rules = [{"name": name, "path": f"/{name}", "public": True, "upstream": name} for name in named]
    ended = doctor(tmp_path, config(app.url, auth.port, upstreams=named, rules=rules), "--json")
    told = json.loads(ended.stdout)["servers"][1:]
    assert [(one["server"], one["url"], one["findings"][0]["verdict"]) for one in told] == [
        ("upstream", app.url, "right"),
        ("upstream shop", app.url, "right"),
        ("upstream gone", "http://127.0.0.1:1", "wrong"),
    ]
    assert ended.exit_code == 1
