"""The README is executed: its files, its commands, and the output that it shows."""

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from subprocess import PIPE, STDOUT

import click
import pytest
from harness import plain_http
from harness.ports import unused_ports
from harness.processes import enforcer
from harness.waiting import TIMEOUT, eventually

from enforcer.cli import main
from enforcer.config.load import load
from enforcer.config.reference import reference

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
ROW = re.compile(r"^\| (`[\w.\[\]]+`) \| ([^|]+) \|", re.MULTILINE)


def section(title: str) -> str:
    """Return a section of the README with its subsections."""
    return README.partition(f"\n## {title}")[2].partition("\n## ")[0]


def blocks(text: str, language: str) -> list[str]:
    """Return the code blocks in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


@contextmanager
def process(*arguments: str, port: int) -> Iterator[None]:
    """Run a Python module until the block ends; it is ready when it accepts connections."""
    with subprocess.Popen([sys.executable, "-m", *arguments], stderr=subprocess.DEVNULL) as process:
        try:
            assert eventually(lambda: process.poll() is not None or listens(port), TIMEOUT)
            assert process.poll() is None
            yield
        finally:
            process.kill()


def listens(port: int) -> bool:
    """Return whether a program listens on a port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_the_five_minutes_lead_to_an_app_behind_the_enforcer(tmp_path: Path) -> None:
    """With the two files of the README, and the responses that it shows."""
    steps = section("In front of your own app")
    clients, config = blocks(steps, "yaml")
    app_port, auth_port = unused_ports(2)
    for address, port in {"127.0.0.1:8000": app_port, "127.0.0.1:8085": auth_port, "127.0.0.1:8091": 0}.items():
        assert address in config
        config = config.replace(address, f"127.0.0.1:{port}")
    (tmp_path / "clients.yaml").write_text(clients)
    (tmp_path / "site" / "reports").mkdir(parents=True)
    (tmp_path / "site" / "index.html").write_text("hello\n")
    (tmp_path / "site" / "reports" / "today.txt").write_text("42\n")
    form = dict(re.findall(r"-d (\w+)=(\S+)", steps))
    folder = str(tmp_path / "site")
    with (
        process("http.server", str(app_port), "--bind", "127.0.0.1", "--directory", folder, port=app_port),
        process("authserver", "--port", str(auth_port), "--clients", str(tmp_path / "clients.yaml"), port=auth_port),
        enforcer(config + "admin: {address: 127.0.0.1:0}\n", {"ENFORCER_CLIENT_SECRET": "my-enforcer-secret"}) as proxy,
        plain_http.client(base_url=f"http://localhost:{proxy.port}") as client,
    ):
        assert client.get("/").text == "hello\n"
        refused = client.get("/reports/today.txt")
        assert (refused.status_code, refused.headers["WWW-Authenticate"]) == (401, "Bearer")
        issued = client.post(f"http://localhost:{auth_port}/ms-auth-server/oauth2/token", data=form).json()
        bearer = {"Authorization": f"Bearer {issued['access_token']}"}
        assert client.get("/reports/today.txt", headers=bearer).text == "42\n"
        assert client.get("/config.yaml", headers=bearer).status_code == 403


def has_decisions(log: Path, count: int) -> bool:
    """Return whether a log has this many decisions."""
    return log.read_text().count('"decision"') == count


class Shell:
    """A shell as in a terminal: jobs and variables persist from command to command."""

    def __init__(self, folder: Path) -> None:
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        environment = {**os.environ, "PATH": path, "ENFORCER_CLIENT_SECRET": "my-enforcer-secret", "NO_PROXY": "*"}
        self._process = subprocess.Popen(
            ["bash"], cwd=folder, env=environment, text=True, stdin=PIPE, stdout=PIPE, stderr=STDOUT, bufsize=1
        )
        self.run("set -m")

    def run(self, command: str) -> str:
        """Run a command, and return its output."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        # The output may end without a line break.
        self._process.stdin.write(f"{command}\necho; echo {_DONE}\n")
        printed = "".join(iter(self._process.stdout.readline, f"{_DONE}\n")).removesuffix("\n")
        return printed if printed.endswith("\n") or not printed else f"{printed}\n"

    def close(self) -> None:
        """Exit, and kill the jobs that still run."""
        self.run("kill -9 $(jobs -p) 2> /dev/null; wait")
        self._process.communicate()


_DONE = "-- done --"
_STEP = re.compile(r"(?:`([\w.]+\.yaml)`[^`]*)?\n\n```(yaml|console)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_the_steps_to_enforced_rules_work(tmp_path: Path) -> None:
    """Step by step: with the files of the README, its commands, and the output that it shows."""
    ports = dict(zip((8000, 8085, 8091, 9091), unused_ports(4), strict=True))
    steps = (ROOT / "docs" / "first-rules.md").read_text()
    for shown, port in ports.items():
        steps = steps.replace(f":{shown}", f":{port}")
    # The README relies on the default admin address, whose port may be taken here.
    steps = steps.replace("\nupstream:", f"\nadmin: {{address: 127.0.0.1:{ports[9091]}}}\nupstream:", 1)
    clients, _ = blocks(section("In front of your own app"), "yaml")
    (tmp_path / "clients.yaml").write_text(clients)
    (tmp_path / "site" / "reports").mkdir(parents=True)
    (tmp_path / "site" / "index.html").write_text("hello\n")
    (tmp_path / "site" / "reports" / "today.txt").write_text("42\n")
    folder, registered = str(tmp_path / "site"), str(tmp_path / "clients.yaml")
    app = ("http.server", str(ports[8000]), "--bind", "127.0.0.1", "--directory", folder)
    with (
        process(*app, port=ports[8000]),
        process("authserver", "--port", str(ports[8085]), "--clients", registered, port=ports[8085]),
        closing(Shell(tmp_path)) as shell,
    ):
        matches = _STEP.findall(steps)
        assert len(matches) == 10
        for file, kind, text in matches:
            if kind == "yaml":
                (tmp_path / file).write_text(text)
                continue
            for command, expected in re.findall(r"^\$ (.*?(?<!\\)\n)(.*?)(?=^\$ |\Z)", text, re.MULTILINE | re.DOTALL):
                if command.startswith("enforcer learn"):
                    log = tmp_path / "enforcer.log"
                    assert eventually(partial(has_decisions, log, 3), TIMEOUT)
                printed = shell.run(command).replace("\r\n", "\n")
                pattern = ".*".join(map(re.escape, expected.split("…")))
                assert re.fullmatch(pattern, printed, re.DOTALL), (command, printed)
                if command.endswith("&\n"):
                    assert eventually(lambda: listens(ports[8091]) and listens(ports[9091]), TIMEOUT)


def test_the_rules_can_be_copied(tmp_path: Path) -> None:
    """They are a valid policy as they are."""
    head, _, _ = (ROOT / "config.yaml").read_text().partition("rules:")
    (rules,) = blocks(section("Rules"), "yaml")
    config = tmp_path / "config.yaml"
    config.write_text(head + rules)
    loaded = load(config, {"ENFORCER_CLIENT_SECRET": "secret"})
    assert [rule.name for rule in loaded.config.rules] == ["read countries", "tenant reports", "health"]


def test_the_keys_and_their_defaults_are_those_of_the_reference() -> None:
    """The table is a selection of the reference's rows."""
    rows = ROW.findall((ROOT / "docs" / "running.md").read_text())
    assert len(rows) > 10
    assert [row for row in rows if row not in ROW.findall(reference())] == []


@pytest.mark.parametrize(
    "page", [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))], ids=lambda page: page.name
)
def test_links_lead_somewhere(page: Path) -> None:
    """To files of this repository."""
    links = [link for link in re.findall(r"\]\(([^)#]+)", page.read_text()) if "://" not in link]
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_the_commands_exist() -> None:
    """Those of the command line and those of the Makefile."""
    commands = set(re.findall(r"(?:^\$ |`)enforcer ([a-z-]+)", README, re.MULTILINE))
    assert commands <= set(main.list_commands(click.Context(main)))
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"(?:^\$ |`)make ([a-z]+)", README, re.MULTILINE)) <= targets


def test_the_cost_of_a_request_is_that_of_the_benchmark() -> None:
    """The README's figure is in the table of docs/speed.md."""
    (figure,) = re.findall(r"\[([\d.]+) µs of CPU\]\(docs/speed\.md\)", README)
    assert re.search(
        rf"\| \*\*enforcer\*\* \| [\d,]+ \| {re.escape(figure)} \|", (ROOT / "docs" / "speed.md").read_text()
    )
