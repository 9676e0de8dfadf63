"""A standalone OAuth authorization proxy.

A request passes through the rooms in one direction (docs/architecture.md; `proxy` lists its modules in order):

    client -> proxy: connection, request head
           -> wire.target, policy.matcher: the route (rule, upstream, verifier)
           -> tokens.bearer, tokens.verifier: the token, and whether it is active (cache, introspection or signature)
           -> policy.decision: allow or deny
           -> proxy.messages.forwarding, wire.pool: to the upstream; or a refusal (tokens.challenge): to the client

A room imports only itself and rooms before it: errors, units, secret, clients, shares, share_report, counters,
exposition; yamltext; telemetry; settings; wire; tokens; policy; decision_log; proxy; analysis; config; operations;
doctor; server; kubernetes; cli. Deciding is pure: no event loop, socket, clock or logger; the time is an argument
(tests/test_architecture.py checks both).
"""

from importlib.util import find_spec


def build_kind() -> str:
    """Return whether the request path is `compiled` or `interpreted`, without importing it."""
    spec = find_spec("enforcer.proxy.exchange")
    return "compiled" if spec is not None and not (spec.origin or "").endswith(".py") else "interpreted"
