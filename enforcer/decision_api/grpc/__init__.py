"""The decision API as gRPC: Envoy's `envoy.service.auth.v3.Authorization/Check`, with health checking.

One unary call with a small message needs no gRPC library (docs/adr/0014-grpc.md): `protobuf` reads and writes messages,
`check` knows those of Envoy, `exchange` is the call.
"""
