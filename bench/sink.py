"""An app that discards uploads and responds with their size in bytes: `sink.py PORT`."""

from __future__ import annotations

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class _Sink(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_PUT(self) -> None:
        buffer = memoryview(bytearray(1 << 20))
        expected = int(self.headers["Content-Length"])
        received = 0
        while received < expected and (count := self.rfile.readinto1(buffer[: expected - received])):
            received += count
        self._respond(str(received).encode())

    def do_GET(self) -> None:
        self._respond(b"ready")

    def _respond(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), _Sink).serve_forever()
