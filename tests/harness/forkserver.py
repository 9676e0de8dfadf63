"""Starts enforcers by forking a process that has imported the program already: importing it takes most of a start.

A forked enforcer is a process of its own that runs `enforcer.cli.main`, with its own arguments and environment, and a
pipe as standard error. Only its command line in /proc is that of the fork server.
"""

from __future__ import annotations

import atexit
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from typing import IO

_MAX_REQUEST = 1 << 20  # bytes


class ForkedProcess:
    """A forked process, with the part of the interface of `subprocess.Popen` that tests use."""

    def __init__(self, status: int, stderr: IO[str]) -> None:
        self._status = os.fdopen(status, "rb", buffering=0)
        self._code: int | None = None
        self.stderr: IO[str] | None = stderr
        self.pid = int(self._status.readline())

    def poll(self) -> int | None:
        """Return the exit code, or the negative number of the signal that ended the process; None while it runs."""
        return self._read_code(0.0)

    def wait(self, timeout: float) -> int:
        """Wait for the end of the process and return `poll()`. Raises subprocess.TimeoutExpired."""
        code = self._read_code(timeout)
        if code is None:
            raise subprocess.TimeoutExpired("enforcer", timeout)
        return code

    def send_signal(self, number: int) -> None:
        """Send a signal, unless the process has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def _read_code(self, timeout: float) -> int | None:
        if self._code is None and select.select([self._status], [], [], timeout)[0]:
            self._code = int(self._status.readline())
            self._status.close()
        return self._code


def start(arguments: Sequence[str], environment: Mapping[str, str]) -> ForkedProcess:
    """Run `enforcer` with arguments and environment, and with standard error as a pipe."""
    request = json.dumps([os.getcwd(), arguments, dict(environment)]).encode()
    (status, their_status), (stderr, their_stderr) = os.pipe(), os.pipe()
    try:
        socket.send_fds(_server(), [request], [their_status, their_stderr])
    finally:
        os.close(their_status)
        os.close(their_stderr)
    return ForkedProcess(status, os.fdopen(stderr))


@cache
def _server() -> socket.socket:
    """Start the fork server of this process. It ends when the connection to it is closed."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        process = subprocess.Popen([sys.executable, __file__], stdin=theirs.fileno())

    def stop() -> None:
        ours.close()
        process.wait()

    atexit.register(stop)
    return ours


def _serve() -> None:
    """Fork for each request. Returns in the forked process, whose arguments and environment are set."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # so that no watcher stays as a zombie
    requests = socket.socket(fileno=os.dup(0))
    while True:
        request, descriptors, *_ = socket.recv_fds(requests, _MAX_REQUEST, 2)
        if not request:
            os._exit(0)
        if os.fork() == 0:
            break
        for descriptor in descriptors:
            os.close(descriptor)
    requests.close()
    status, stderr = descriptors
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    if program := os.fork():
        _watch(program, status, stderr)
    os.close(status)
    os.dup2(stderr, 2)
    os.close(stderr)
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    folder, arguments, environment = json.loads(request)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv[:] = ["enforcer", *arguments]


def _watch(program: int, status: int, stderr: int) -> None:
    """Report the process id of a child, and later its exit code."""
    os.close(stderr)
    os.write(status, b"%d\n" % program)
    _, code = os.waitpid(program, 0)
    os.write(status, b"%d\n" % os.waitstatus_to_exitcode(code))
    os._exit(0)


if __name__ == "__main__":
    from enforcer.cli import main
    from enforcer.config.model import ADAPTER

    for module in ("enforcer.cli.run", "uvicorn.protocols.http.httptools_impl", "uvicorn.lifespan.off"):
        importlib.import_module(module)
    ADAPTER.rebuild()  # it would be built on first use
    _serve()
    main()
