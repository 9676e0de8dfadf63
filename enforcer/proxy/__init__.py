"""The request path: client connections, authorization, forwarding and responses.

Each module imports only those above it in this list. To follow a request, read from the bottom up to `authorize`.

1. `messages`: which header fields go on to the upstream, and the request head that only a permit can make; the
   enforcer's own responses, refusals above all; a client's request head as an immutable value, and its builder.
2. `states`: the named states of an exchange, and of a client connection's input.
3. `snapshot`: one configuration, ready for use; what a request target leads to.
4. `peer`: the other end of a client connection.
5. `registry`: the state that all client connections share.
6. `grant`: the grounds on which a request was forwarded, to authorize it again.
7. `authorize`: locate the rule, read the token, verify it, decide: a permit or a refusal.
8. `exchange`: one request and its response.
9. `door`: how a listener reads requests and responds: as the proxy, or as the decision API.
10. `tunnels`: a connection after an upgrade, and when it ends.
11. `client_transport`: how a client connection is paused, and the ways to end it; `accepted`: what connections of
    HTTP/1.1 and HTTP/2 have in common.
12. `connection`: bytes from the client, and the exchanges that they become. `http2` is the same for HTTP/2.
13. `listener`: accepts client connections, TLS included.
"""
