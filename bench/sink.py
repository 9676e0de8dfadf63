"""An app that takes uploads, forgets them, and answers with how many bytes there were: `python -m bench.sink PORT`."""

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
        answer = str(taken).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        pass


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), _Sink).serve_forever()
