"""`enforcer doctor`, run as a command."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from harness.configs import authorization_server, config
from harness.ports import unused_ports
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


def doctor(
    folder: Path, text: str, *options: str, colour: bool = False, stdin: str | None = None, **environment: str
) -> Result:
    """Run the command on a configuration; `colour`: as in a terminal."""
    path = folder / "config.yaml"
    path.write_text(text)
    runner = CliRunner(env={"ENFORCER_CLIENT_SECRET": SECRET, "NO_COLOR": None, **environment})
    return runner.invoke(main, ["doctor", str(path), *options], input=stdin, color=colour)


def test_each_check_is_a_line(tmp_path: Path, auth: Server, app: Upstream) -> None:
    """Those of the configuration come first. Warnings do not change the exit code, 0.

    Measured times vary and are replaced.
    """
    result = doctor(tmp_path, config(app.url, auth.port, limits={"token": "16MiB", "head": "16KiB"}))
    assert re.sub(r"\d+ ms", "N ms", result.stdout) == (
        f"configuration, {tmp_path / 'config.yaml'}\n"
        "  ! authorization_servers[0]: no audience is required: tokens that it issued for other apps are accepted too; "
        "set audience\n"
        "  ! limits.token: has no effect above limits.head, which is 16KiB\n"
        f"authorization server default, http://127.0.0.1:{auth.port}/introspect\n"
        f"  ✓ TCP: 127.0.0.1:{auth.port} connects in N ms\n"
        "  ✓ credentials: accepted; a made-up token is reported as inactive\n"
        "  ! clock: the response has no Date field; compare the two clocks by hand\n"
        "  ✓ answer time: N ms, of 2 s allowed\n"
        f"upstream, {app.url}\n"
        f"  ✓ TCP: 127.0.0.1:{app.port} connects in N ms\n"
        "  ✓ HTTP: answers GET / with 200\n"
    )
    assert (result.exit_code, result.stderr) == (0, "")


def test_an_error_has_advice_and_exit_code_1(tmp_path: Path, auth: Server) -> None:
    """Findings go to standard output."""
    result = doctor(tmp_path, config("http://127.0.0.1:1", auth.port))
    assert result.stdout.splitlines()[-1] == (
        "  ✗ TCP: 127.0.0.1:1: connection refused; start the server, or correct host and port"
    )
    assert result.exit_code == 1


def test_json_has_the_same_findings(tmp_path: Path, auth: Server) -> None:
    """One object; `right` is false if any check failed. Without a token, nothing is found about it."""
    result = doctor(tmp_path, config("http://127.0.0.1:1", auth.port), "--json")
    document = json.loads(result.stdout)
    assert (document["right"], document["token"], result.exit_code) == (False, [], 1)
    assert [finding["what"] for finding in document["configuration"]] == ["authorization_servers[0]"]
    assert [server["server"] for server in document["servers"]] == ["authorization server default", "upstream"]
    assert document["servers"][1]["findings"] == [
        {
            "what": "TCP",
            "verdict": "wrong",
            "found": "127.0.0.1:1: connection refused",
            "advice": "start the server, or correct host and port",
        }
    ]
    assert SECRET not in result.output


@pytest.mark.parametrize(
    ("colour", "environment", "coloured"), [(True, {}, True), (True, {"NO_COLOR": "1"}, False), (False, {}, False)]
)
def test_colours_are_only_for_terminals_without_no_color(
    colour: bool, environment: dict[str, str], coloured: bool, tmp_path: Path, auth: Server, app: Upstream
) -> None:
    """See https://no-color.org."""
    result = doctor(tmp_path, config(app.url, auth.port), colour=colour, **environment)
    assert ("\x1b[" in result.stdout) == coloured


def test_an_invalid_configuration_has_exit_code_2(tmp_path: Path) -> None:
    """No server is contacted."""
    result = doctor(tmp_path, "upstream: {}\n")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.endswith("\n3 errors\n")


def test_each_upstream_is_tried_by_name(tmp_path: Path, auth: Server, app: Upstream) -> None:
    """The unnamed `upstream` comes first."""
    named = {"shop": {"url": app.url}, "gone": {"url": "http://127.0.0.1:1"}}
    rules = [{"name": name, "path": f"/{name}", "public": True, "upstream": name} for name in named]
    result = doctor(tmp_path, config(app.url, auth.port, upstreams=named, rules=rules), "--json")
    reports = json.loads(result.stdout)["servers"][1:]
    assert [(report["server"], report["url"], report["findings"][0]["verdict"]) for report in reports] == [
        ("upstream", app.url, "right"),
        ("upstream shop", app.url, "right"),
        ("upstream gone", "http://127.0.0.1:1", "wrong"),
    ]
    assert result.exit_code == 1


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--front-proxy", "http://127.0.0.1:8080"], "--front-proxy and --echo need each other"),
        (["--echo", "127.0.0.1:8090"], "--front-proxy and --echo need each other"),
        (["--front-proxy", "127.0.0.1", "--echo", "127.0.0.1:0"], "not a URL"),
        (["--front-proxy", "http://127.0.0.1:8080", "--echo", "here"], "expected host:port"),
        (["--front-proxy", "http://127.0.0.1:8080", "--token-file", "-"], "--token-file cannot be combined"),
    ],
)
def test_a_front_proxy_needs_its_url_and_an_address(tmp_path: Path, options: list[str], expected: str) -> None:
    """Wrong usage has exit code 2."""
    listener = {"address": "127.0.0.1:0", "contract": "nginx", "trusted_proxies": ["127.0.0.1"]}
    result = doctor(tmp_path, config("", 1, upstream=None, decision=[listener]), *options)
    assert (result.exit_code, expected in result.stderr) == (2, True)


def test_a_front_proxy_needs_a_listener_that_it_asks(tmp_path: Path) -> None:
    """Without the decision API, no proxy asks."""
    options = ["--front-proxy", "http://127.0.0.1:8080", "--echo", "127.0.0.1:0"]
    result = doctor(tmp_path, config("http://127.0.0.1:1", 1), *options)
    assert (result.exit_code, "has no listener of the decision API" in result.stderr) == (2, True)


def test_a_front_proxy_is_examined_instead_of_the_servers(tmp_path: Path) -> None:
    """The command ends with 1 if a check fails, and says what the proxy must do."""
    (nobody,) = unused_ports(1)
    listener = {"address": "127.0.0.1:0", "contract": "nginx", "trusted_proxies": ["127.0.0.1"]}
    options = ["--front-proxy", f"http://127.0.0.1:{nobody}", "--echo", "127.0.0.1:0"]
    result = doctor(tmp_path, config("", 1, upstream=None, decision=[listener]), *options)
    assert (result.exit_code, result.stdout.count("authorization server")) == (1, 0)
    assert f"front proxy, http://127.0.0.1:{nobody}\n  ✗ question: no response of the front proxy" in result.stdout


def test_a_real_token_has_a_section_of_its_own(tmp_path: Path, app: Upstream) -> None:
    """It is read from a file or from standard input, and printed nowhere; neither is its subject."""
    claims = {"scope": "read", "sub": "alice", "client_id": "walker"}
    with introspection_server({"s3cr3t-t0ken": claims}) as auth:
        text = config(app.url, auth.port)
        result = doctor(tmp_path, text, "--token-file", "-", stdin="s3cr3t-t0ken\n")
        assert result.stdout.partition("token, verified as for a request\n")[2].splitlines()[0] == (
            "  ✓ verification: active: an opaque token, introspected at authorization server default"
        )
        assert result.stdout.splitlines()[-1] == "  ✓ rules: its scopes meet 1 of 1 rule: all else"
        assert (result.exit_code, result.stderr) == (0, "")
        assert "s3cr3t" not in result.output
        assert "alice" not in result.output
        file = tmp_path / "token.txt"
        file.write_text("unknown\n")
        result = doctor(tmp_path, text, "--token-file", str(file), "--json")
    document = json.loads(result.stdout)
    assert (document["right"], result.exit_code) == (False, 1)
    assert (document["token"][0]["what"], document["token"][0]["verdict"]) == ("verification", "wrong")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "the file is empty"),
        ("Bearer abc", "without the word Bearer"),
        ('{"access_token": "abc"}', "expected an access token, found JSON"),
        ("abc def", "expected one access token (RFC 6750 §2.1) and nothing else"),
    ],
)
def test_a_file_without_a_token_has_exit_code_2(content: str, message: str, tmp_path: Path) -> None:
    """No server is contacted, and nothing of the file is shown."""
    result = doctor(tmp_path, config("http://127.0.0.1:1", 1), "--token-file", "-", stdin=content)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr
    assert "abc" not in result.stderr


def test_a_failed_handshake_is_reported_without_traceback(
    tmp_path: Path, auth: Server, app: Upstream, caplog: pytest.LogCaptureFixture
) -> None:
    """Event loops report the end of a connection that was never made."""
    endpoint, pool = f"https://127.0.0.1:{auth.port}/introspect", {"connect_timeout": "300ms"}
    server = authorization_server(auth.port, introspection_endpoint=endpoint, pool=pool)
    text = config(app.url, 1, authorization_servers=[server])
    result = doctor(tmp_path, text, "--token-file", "-", stdin="abc")
    assert "  ✗ verification: not verified: authorization server default: " in result.stdout
    assert [record.message for record in caplog.records if record.name == "asyncio"] == []
