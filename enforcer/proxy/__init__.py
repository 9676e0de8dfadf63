"""The request path: client connections, authorization, forwarding and responses.

Each module imports only those above it in this list. To follow a request, read from the bottom up to `authorize`.

1. `forwarding`: which header fields go on to the upstream, and the request head that only a permit can make.
2. `responses`: the enforcer's own responses, refusals above all.
3. `head`: a request head as an immutable value, and its builder.
4. `snapshot`: one configuration, ready for use; what a request target leads to.
5. `peer`: the other end of a client connection.
6. `registry`: the state that all client connections share.
7. `authorize`: locate the rule, read the token, verify it, decide: a permit or a refusal.
8. `exchange`: one request and its response; `exchange_state`: its states.
9. `tunnel`: a connection after an upgrade.
10. `client_transport`: how a client connection is paused, and the ways to end it.
11. `read_state`: the states of a client connection's input.
12. `connection`: bytes from the client, and the exchanges that they become.
13. `listener`: accepts client connections, TLS included.
"""
