"""Writes what real parsers read in paths, `vectors.json`; needs go, node, java and nginx.

The readings are hexadecimal, decoded, with their slashes; null if a parser refuses the path.
"""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import unquote_to_bytes, urlparse, urlsplit

HERE = Path(__file__).parent
PATHS = [
    *("/a", "/a/", "/a%2Fb", "/a%2fb/c", "/%2Fa", "/a%2F", "/a%5Cb", "/a\\b", "/\\a", "/a;b", "/a;b/c", "/a;b/c;d"),
    *("/a%3Bb/c", "/a%3Fb", "/a%23b", "/a%25b", "/a%252Fb", "/a%2541b", "//a", "//a/b", "///a", "/a//b", "/a//", "//"),
    *("/a/./b", "/a/../b", "/a/.", "/a/..", "/a/%2e%2e/b", "/a/%2e./b", "/a/.%2E/b", "/a/%2e/b", "/a/..%2Fb", "/..;/b"),
    *("/a/..%2f..%2fb", "/a/..;/b", "/a/..;x/b", "/a/.;/b", "/a/;/b", "/a/...//b", "/a/.%20/b", "/a/..%20/b", "/%20/b"),
    *("/a%01b", "/a%09/b", "/a%7Fb", "/a%C2%85b", "/%ff", "/a%ff/b", "/%c0%ae%c0%ae/b", "/a%c0%afb", "/a/%252e%252e/b"),
    *(
        "/a/b/../../c",
        "/a\\..\\b",
        "/a/..%5Cb",
        "//a\\b/c",
        "/\\a/b",
        "/a/b;x/../c",
        "/a//../b",
        "/a/b//../c",
        "/a[1]|^{b}",
    ),
    *(
        "/http://a/b",
        "/a/http:%2F%2Fb",
        "/@scope%2Fname",
        "/a/%2F/b",
        "/C%23%20x%25.txt",
        '/a"<b>`',
        "/a%2e/.b/..c/d..",
    ),
]


def python(split: bool) -> list[str | None]:
    parse = urlsplit if split else urlparse
    return [unquote_to_bytes(parse(path).path or "/").hex() for path in PATHS]


def of_program(*command: str) -> list[list[str | None]]:
    sent = "".join(f"{path}\n" for path in PATHS)
    lines = subprocess.run(command, input=sent, capture_output=True, text=True, check=True, cwd=HERE).stdout.split("\n")
    return [[None if word == "-" else word.rstrip(".") for word in line.split(" ")] for line in lines[:-1]]


def nginx() -> list[str | None]:
    """`$uri` is the decoded path, with slashes merged and dot segments resolved."""
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
        free.close()
        paths = "".join(f"{name}_temp_path {folder}/{name};" for name in ("proxy", "fastcgi", "uwsgi", "scgi"))
        config = (
            f"daemon off; pid {folder}/pid; error_log {folder}/log; events {{}} http {{ access_log off; {paths} "
            f"client_body_temp_path {folder}/body; "
            f"server {{ listen 127.0.0.1:{port}; location / {{ return 200 $uri; }} }} }}"
        )
        (Path(folder) / "nginx.conf").write_text(config)
        server = subprocess.Popen(["nginx", "-e", f"{folder}/log", "-c", f"{folder}/nginx.conf"])
        try:
            return [_from_nginx(port, path) for path in PATHS]
        finally:
            server.terminate()
            server.wait()


def _from_nginx(port: int, path: str) -> str | None:
    for _ in range(100):
        try:
            connection = socket.create_connection(("127.0.0.1", port))
            break
        except ConnectionRefusedError:
            time.sleep(0.05)
    with connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: app\r\nConnection: close\r\n\r\n".encode())
        received = b"".join(iter(lambda: connection.recv(65536), b""))
    return received.partition(b"\r\n\r\n")[2].hex() if re.match(rb"HTTP/1.1 200", received) else None


def main() -> None:
    """Write the vectors to standard output."""
    go = of_program("go", "run", "parse.go")
    columns = {
        "urllib_split": python(True),
        "urllib_parse": python(False),
        "go": [reading[0] for reading in go],
        "go_bare": [reading[1] for reading in go],
        "whatwg": [reading[0] for reading in of_program("node", "parse.mjs")],
        "java_uri": [reading[0] for reading in of_program("java", "Parse.java")],
        "nginx": nginx(),
    }
    vectors = {path: {name: column[index] for name, column in columns.items()} for index, path in enumerate(PATHS)}
    json.dump(vectors, sys.stdout, indent=1)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
