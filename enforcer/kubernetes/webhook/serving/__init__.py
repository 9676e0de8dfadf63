"""A small HTTP/1.1 server whose cost for strangers is bounded, because anything in a cluster can connect to it.

`listener` accepts connections and makes the TLS handshake, `connection` reads requests and calls the application, and
`shares` divides the worker thread among peers. `limits` has all limits.
"""
