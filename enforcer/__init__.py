"""A standalone authorization proxy.

The way of a request, one way through the rooms:

    bytes in -> proxy.gateway -> wire.target -> policy.matcher -> tokens.bearer -> tokens.verifier
             -> policy.decision -> proxy.forwarding -> wire.pool -> the upstream
                                -> proxy.refusals (tokens.challenge) -> the client

A room imports only rooms above it: errors, units, secret, telemetry; wire; tokens; policy; proxy; config; operations;
server; kubernetes; cli. What decides is pure: no event loop, socket, clock or logger; time comes in as an argument.
"""
