"""An app that takes uploads, forgets them, and answers with how many bytes there were: `sink.py PORT`."""

from __future__ import annotations

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class _Sink(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_PUT(self) -> None:
        buffer = memoryview(bytearray(1 << 20))
        wanted = int(self.headers["Content-Length"])
        taken = 0
        while taken < wanted and (count := self.rfile.readinto1(buffer[: wanted - taken])):
            taken += count
        self._answer(str(taken).encode())

    def do_GET(self) -> None:
        self._answer(b"ready")

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), _Sink).serve_forever()
