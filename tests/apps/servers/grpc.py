"""A gRPC server with one method of each kind, whose messages are bytes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc


def greet(message: bytes, context: grpc.ServicerContext) -> bytes:
    """Greet one name; the name `nobody` fails."""
    if message == b"nobody":
        context.abort(grpc.StatusCode.NOT_FOUND, "no such name: nobody")
    context.set_trailing_metadata([("greeted", message.decode())])
    return b"hello " + message


def count(message: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
    """Respond with each byte."""
    return (message[index : index + 1] for index in range(len(message)))


def join(messages: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
    """Respond with all messages as one."""
    return b"".join(messages)


def echo(messages: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
    """Respond to each message while more come."""
    return messages


if __name__ == "__main__":
    methods = {
        "Greet": grpc.unary_unary_rpc_method_handler(greet),
        "Count": grpc.unary_stream_rpc_method_handler(count),
        "Join": grpc.stream_unary_rpc_method_handler(join),
        "Echo": grpc.stream_stream_rpc_method_handler(echo),
    }
    server = grpc.server(ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("test.Greeter", methods)])
    server.add_insecure_port(f"127.0.0.1:{sys.argv[1]}")
    server.start()
    server.wait_for_termination()
