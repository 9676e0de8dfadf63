"""The country app as a process, and its command line."""

import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner, Result
from harness import plain_http
from harness.demo_processes import listening
from harness.process_state import restored_signals
from harness.waiting import TIMEOUT

from country_app.__main__ import main


@contextmanager
def running(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run the app on a free port until the block ends; yields the process and the URL of the countries."""
    with listening("country_app", *arguments) as (process, line):
        match = re.search(r"listening on 127\.0\.0\.1 port (\d+)$", line)
        assert match is not None
        yield process, f"http://127.0.0.1:{match[1]}/ms-system/country"


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_signal_ends_the_app(stop: signal.Signals, tmp_path: Path) -> None:
    """The exit code is 0, and changes are in the file for the next start."""
    database = str(tmp_path / "countries.sqlite3")
    with running("--database", database) as (process, url):
        with plain_http.client() as client:
            assert client.get(f"{url}/code/AUS").json() == {"code": "AUS", "name": "AUSTRALIA"}
            assert client.delete(f"{url}/code/AUS").status_code == 204
        process.send_signal(stop)
        _, log = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0
    assert "Traceback" not in log
    with running("--database", database) as (_, url):
        assert plain_http.get(f"{url}/code/AUS").status_code == 404


def test_a_client_that_disconnects_within_a_body_causes_no_traceback() -> None:
    """Clients disconnect at any time."""
    with running() as (process, url):
        address = httpx.URL(url)
        with socket.create_connection((address.host, address.port or 0)) as connection:
            connection.sendall(
                b"POST /ms-system/country HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\nexpect: 100-continue\r\n\r\n"
            )
            # The app sends this when it begins to read the body.
            assert connection.recv(100).startswith(b"HTTP/1.1 100 ")
        assert plain_http.get(url).status_code == 200
        process.terminate()
        _, log = process.communicate(timeout=TIMEOUT)
    assert "Traceback" not in log


def invoke(*arguments: str) -> Result:
    """Run the command in this process until it fails."""
    with restored_signals():
        return CliRunner().invoke(main, arguments)


def test_a_port_in_use_is_one_line_of_error() -> None:
    """It names the port and the option to choose another."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = invoke("--port", str(port))
    assert ended.exit_code == 1
    assert ended.stderr.splitlines() == [f"Error: port {port} of 127.0.0.1 is in use; choose another with --port"]


def test_an_unusable_database_is_an_error(tmp_path: Path) -> None:
    """Exit code 2; the message names the option."""
    ended = invoke("--port", "0", "--database", str(tmp_path / "nowhere" / "countries.sqlite3"))
    assert ended.exit_code == 2
    assert "--database" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["--port", "x"],
        ["--port", "65536"],
        ["--prot", "8090"],
        ["--database", "/"],
        ["--log-level", "loud"],
        ["surplus"],
    ],
)
def test_wrong_usage_exits_with_2(arguments: list[str]) -> None:
    """The message names the argument."""
    ended = CliRunner().invoke(main, arguments)
    assert ended.exit_code == 2
    assert arguments[0] in ended.output


def test_the_help_has_all_options_and_examples() -> None:
    """A new user finds how to begin, and the loopback address as the default."""
    ended = CliRunner().invoke(main, ["--help"])
    assert ended.exit_code == 0
    for text in ("--host", "--port", "--database", "--log-level", "Examples:", "8090", "127.0.0.1"):
        assert text in ended.output


def test_the_help_says_that_the_app_is_for_development_only() -> None:
    """It accepts changes from every client."""
    text = " ".join(CliRunner().invoke(main, ["--help"]).output.split())
    assert "for development and tests only" in text
    assert "Every client that reaches its port can change them." in text
    assert "[default: 127.0.0.1]" in text
