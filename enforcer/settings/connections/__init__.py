"""The settings of connections: addresses, TLS, servers and their pools, HTTP/2."""
