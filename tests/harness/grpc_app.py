"""A gRPC app and its clients, on grpcio: messages are bytes, so that no code has to be generated."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from typing import Any

import grpc

SERVICE = "/public/Echo/"  # a path under the rule that needs no token; `/Echo/` is one that needs it


class _Handlers(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Serves every method by its last segment, whatever the service is called."""

    def __init__(self, app: GrpcApp) -> None:
        self._app = app

    def service(self, details: Any) -> Any:
        app = self._app
        kinds = {
            "Unary": grpc.unary_unary_rpc_method_handler(app.unary),
            "Down": grpc.unary_stream_rpc_method_handler(app.down),
            "Up": grpc.stream_unary_rpc_method_handler(app.up),
            "Both": grpc.stream_stream_rpc_method_handler(app.both),
            "Fail": grpc.unary_unary_rpc_method_handler(app.fail),
            "Wait": grpc.unary_unary_rpc_method_handler(app.wait),
            "Check": grpc.unary_unary_rpc_method_handler(app.check),
        }
        return kinds.get(details.method.rpartition("/")[2])


class GrpcApp:
    """The app: `metadata` is that of the last call, `cancelled` is set when a `Wait` ended before its response."""

    def __init__(self) -> None:
        self.metadata: dict[str, Any] = {}
        self.remaining: float | None = None
        self.cancelled = False

    def _begin(self, context: Any) -> None:
        self.metadata = dict(context.invocation_metadata())
        self.remaining = context.time_remaining()

    def unary(self, request: bytes, context: Any) -> bytes:
        self._begin(context)
        context.send_initial_metadata((("x-initial", "first"),))
        context.set_trailing_metadata((("x-trailing", "last"), ("x-data-bin", b"\0\xff")))
        return b"re: " + request

    def down(self, request: bytes, context: Any) -> Iterator[bytes]:
        self._begin(context)
        for number in range(int(request)):
            yield b"%d" % number

    def up(self, requests: Iterator[bytes], context: Any) -> bytes:
        self._begin(context)
        return b"%d" % sum(len(request) for request in requests)

    def both(self, requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
        self._begin(context)
        for request in requests:
            yield b"re: " + request

    def fail(self, request: bytes, context: Any) -> bytes:
        context.abort(grpc.StatusCode.NOT_FOUND, "no such thing: 100% gone")
        return b""

    def wait(self, request: bytes, context: Any) -> bytes:
        self._begin(context)
        ended = futures.Future[None]()
        context.add_callback(lambda: ended.set_result(None))
        ended.result()
        self.cancelled = True
        return b""

    def check(self, request: bytes, context: Any) -> bytes:
        return b"\x08\x01"  # grpc.health.v1: SERVING


@contextmanager
def grpc_app(certificate: tuple[bytes, bytes] | None = None) -> Iterator[tuple[GrpcApp, int]]:
    """Run the app; yield it, and its port. `certificate`: key and certificate chain, to serve TLS."""
    app = GrpcApp()
    server = grpc.server(futures.ThreadPoolExecutor(8))
    server.add_generic_rpc_handlers((_Handlers(app),))
    if certificate is None:
        port = server.add_insecure_port("127.0.0.1:0")
    else:
        port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([certificate]))
    server.start()
    try:
        yield app, port
    finally:
        server.stop(None).wait()
