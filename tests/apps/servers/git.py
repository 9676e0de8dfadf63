"""git http-backend behind a WSGI server, with one empty repository."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from tempfile import mkdtemp
from typing import Any

from cheroot.wsgi import Server

ROOT = mkdtemp(dir=os.getcwd())


def backend(environ: dict[str, Any], start: Callable[[str, list[tuple[str, str]]], Any]) -> Iterable[bytes]:
    """Run git http-backend as a CGI program (RFC 3875)."""
    variables = {name: value for name, value in environ.items() if isinstance(value, str)}
    variables |= {"GIT_PROJECT_ROOT": ROOT, "GIT_HTTP_EXPORT_ALL": "1", "PATH": os.environ["PATH"]}
    variables["GIT_PROTOCOL"] = environ.get("HTTP_GIT_PROTOCOL", "")
    body = environ["wsgi.input"].read()
    # The body may have come in chunks; CGI programs know only lengths.
    variables["CONTENT_LENGTH"] = str(len(body))
    output = subprocess.run(["git", "http-backend"], env=variables, input=body, stdout=subprocess.PIPE, check=True)
    head, _, content = output.stdout.partition(b"\r\n\r\n")
    fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
    start(fields.pop("Status", "200 OK"), list(fields.items()))
    return [content]


if __name__ == "__main__":
    subprocess.run(["git", "init", "-q", "--bare", f"{ROOT}/repo.git"], check=True)
    subprocess.run(["git", "-C", f"{ROOT}/repo.git", "config", "http.receivepack", "true"], check=True)
    Server(("127.0.0.1", int(sys.argv[1])), backend).safe_start()
