import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner

from country_app.__main__ import main

COMMAND = [sys.executable, "-m", "country_app"]


@contextmanager
def running(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run the app on a free port until the end of the block; yields it and the URL of the countries."""
    with subprocess.Popen([*COMMAND, "--port", "0", *arguments], stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            # The line is written when the port accepts connections, and reading it waits for nothing else.
            found = re.search(r"listening on 127\.0\.0\.1 port (\d+)$", process.stderr.readline())
            assert found is not None
            yield process, f"http://127.0.0.1:{found[1]}/ms-system/country"
        finally:
            process.kill()


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_the_app_serves_until_it_is_asked_to_stop(stop: signal.Signals, tmp_path: Path) -> None:
    """It ends with 0, and what was changed is in the file for the next one."""
    database = str(tmp_path / "countries.sqlite3")
    with running("--database", database) as (process, url):
        assert httpx.get(f"{url}/code/AUS").json() == {"code": "AUS", "name": "AUSTRALIA"}
        assert httpx.delete(f"{url}/code/AUS").status_code == 204
        process.send_signal(stop)
        _, log = process.communicate(timeout=10)
    assert process.returncode == 0
    assert "Traceback" not in log
    with running("--database", database) as (_, url):
        assert httpx.get(f"{url}/code/AUS").status_code == 404


def test_a_client_that_leaves_in_the_middle_of_a_body_leaves_no_traceback() -> None:
    """It is a matter of every day."""
    with running() as (process, url):
        address = httpx.URL(url)
        with socket.create_connection((address.host, address.port or 0)) as connection:
            connection.sendall(
                b"POST /ms-system/country HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\nexpect: 100-continue\r\n\r\n"
            )
            # The app has begun to read the body when it asks for it.
            assert connection.recv(100).startswith(b"HTTP/1.1 100 ")
        assert httpx.get(url).status_code == 200
        process.terminate()
        _, log = process.communicate(timeout=10)
    assert "Traceback" not in log


def test_a_taken_port_is_one_clear_line() -> None:
    """It says which port, and how to choose another."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = subprocess.run([*COMMAND, "--port", str(port)], capture_output=True, text=True, timeout=10, check=False)
    assert ended.returncode == 1
    assert ended.stderr.splitlines() == [f"Error: port {port} of 127.0.0.1 is taken; choose another with --port"]


def test_a_bad_database_starts_nothing(tmp_path: Path) -> None:
    """Exit code 2, and the option is named."""
    ended = subprocess.run(
        [*COMMAND, "--port", "0", "--database", str(tmp_path / "nowhere" / "countries.sqlite3")],
        capture_output=True,
        text=True,
        timeout=10,
        check=False,
    )
    assert ended.returncode == 2
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
def test_wrong_use_ends_with_2(arguments: list[str]) -> None:
    """And the message names the argument."""
    ended = CliRunner().invoke(main, arguments)
    assert ended.exit_code == 2
    assert arguments[0] in ended.output


def test_help_has_the_options_and_examples() -> None:
    """What a new user needs to begin, loopback as the default included."""
    ended = CliRunner().invoke(main, ["--help"])
    assert ended.exit_code == 0
    for text in ("--host", "--port", "--database", "--log-level", "Examples:", "8090", "127.0.0.1"):
        assert text in ended.output
