"""grpcio calls a method of each kind, with a deadline: the token is metadata."""

from __future__ import annotations

import os

import grpc

if __name__ == "__main__":
    metadata = [("authorization", f"Bearer {os.environ['TOKEN']}")]
    with grpc.insecure_channel(os.environ["URL"].partition("://")[2]) as channel:
        greet = channel.unary_unary("/test.Greeter/Greet")
        message, call = greet.with_call(b"alice", metadata=metadata, timeout=60)
        print(message, [(name, value) for name, value in call.trailing_metadata() if name == "greeted"])
        try:
            greet(b"nobody", metadata=metadata, timeout=60)
        except grpc.RpcError as error:
            print(error.code(), error.details())
        print(list(channel.unary_stream("/test.Greeter/Count")(b"abc", metadata=metadata, timeout=60)))
        join = channel.stream_unary("/test.Greeter/Join")
        print(len(join((bytes(100_000) for _ in range(10)), metadata=metadata, timeout=60)))
        echo = channel.stream_stream("/test.Greeter/Echo")
        print(list(echo(iter([b"a", b"", b"c"]), metadata=metadata, timeout=60)))
