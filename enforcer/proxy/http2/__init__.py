"""HTTP/2 towards clients: connections, their streams, and the heads of requests."""
