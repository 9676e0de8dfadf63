"""Runs an enforcer with its app, and measures honest clients with or without a flood."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

from harness.certificates import Authority
from harness.configs import TOKENS, config
from harness.processes import Enforcer, enforcer
from harness.servers import introspection_server
from harness.usage import processor_time
from harness.waiting import settled

from fairness.floods import FLOODS
from fairness.honest import Times

_IDLE = 0.03  # seconds of processor time that two enforcers without requests take in much more than that
_TESTS = Path(__file__).parents[1]


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join((str(_TESTS), os.environ.get("PYTHONPATH", "")))}


@contextmanager
def _process(*command: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=_environment()) as process:
        try:
            yield process
        finally:
            process.kill()


def _stdout(process: subprocess.Popen[str]) -> IO[str]:
    assert process.stdout is not None
    return process.stdout


@contextmanager
def flooded(name: str, port: int, connections: int) -> Iterator[None]:
    """Flood an enforcer until the block ends."""
    with in_background("fairness.floods", name, port, connections):
        yield


@contextmanager
def in_background(module: str, *arguments: object) -> Iterator[None]:
    """Run a module as a program that leaves the processor to others, until the block ends."""
    with _process(sys.executable, "-m", module, *map(str, arguments)) as process:
        _yield_the_processor(process)
        yield


def _yield_the_processor(process: subprocess.Popen[str]) -> None:
    """Let a process run only if no other one is ready: a flood must not take the processor from honest clients.

    An attacker has machines of its own. Only the enforcer's time is what it can take from others.
    """
    os.sched_setscheduler(process.pid, os.SCHED_IDLE, os.sched_param(0))


@contextmanager
def honest(process: Enforcer, seconds: float, *options: str) -> Iterator[Callable[[], Times]]:
    """Run honest clients for some seconds; the function that is yielded waits for their end and returns their times."""
    ports = str(process.port), str(process.admin_port)
    command = (sys.executable, "-m", "fairness.honest", *ports, "--seconds", str(seconds), *options)
    with _process(*command) as clients:

        def result() -> Times:
            output, _ = clients.communicate(timeout=seconds + 60)
            return Times(**json.loads(output))

        yield result


class Bed:
    """An enforcer, plain and with TLS, in front of one app."""

    def __init__(self, plain: Enforcer, secured: Enforcer) -> None:
        self._enforcers = {False: plain, True: secured}

    def measure(self, flood: str | None, connections: int, seconds: float, *, tls: bool = False) -> Times:
        """Return the times of eight honest clients, without (None) or beside a flood with some connections."""
        self._settle()
        tls = tls or (flood is not None and FLOODS[flood].tls)
        process = self._enforcers[tls]
        with ExitStack() as stack:
            if flood is not None:
                stack.enter_context(flooded(flood, process.port, connections))
            return stack.enter_context(honest(process, seconds, *(("--tls",) if tls else ())))()

    def _settle(self) -> None:
        """Wait until the enforcers have processed what the last flood left in the buffers of the sockets."""
        pids = [process.process.pid for process in self._enforcers.values()]
        settled(lambda: round(sum(map(processor_time, pids)) / _IDLE))


@contextmanager
def bed(*, pinned: bool = False) -> Iterator[Bed]:
    """Run everything until the block ends. `pinned`: the enforcers get a core that no other process of ours uses."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        apps = [stack.enter_context(_process(sys.executable, "-m", "fairness.app")) for _ in range(2)]
        # The floods have an app of their own: honest clients must not wait for an app that is busy with a flood.
        _yield_the_processor(apps[1])
        url, flooded_url = (f"http://127.0.0.1:{int(_stdout(app).readline())}" for app in apps)
        server = stack.enter_context(introspection_server(TOKENS))
        certificate, key = Authority(folder).issue("localhost")
        tls = {"address": "127.0.0.1:0", "tls": {"certificate": str(certificate), "key": str(key)}}
        limits = {"client_share": "100%"}  # all come from one address here, and shares are not what is measured
        rules = [
            {"name": "honest", "path": "/ok", "scopes": ["read"]},
            {"name": "flooded", "path": "/public/**", "public": True, "upstream": "flooded"},
        ]
        settings = {"limits": limits, "rules": rules, "upstreams": {"flooded": {"url": flooded_url}}}
        texts = [config(url, server.port, **settings), config(url, server.port, listener=tls, **settings)]
        plain, secured = (stack.enter_context(enforcer(text)) for text in texts)
        cores = sorted(os.sched_getaffinity(0))
        if pinned and len(cores) > 1:
            for process in (plain, secured):
                os.sched_setaffinity(process.process.pid, cores[:1])
            for app in apps:
                os.sched_setaffinity(app.pid, cores[1:])
            os.sched_setaffinity(0, cores[1:])
        yield Bed(plain, secured)
        os.sched_setaffinity(0, cores)
