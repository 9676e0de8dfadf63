"""HTTP/2 (RFC 9113) as values: frames, field sections, and the library's state machine, bounded."""
