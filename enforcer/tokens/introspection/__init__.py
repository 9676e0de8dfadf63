"""Introspection (RFC 7662): the client, its authentication, and the responses."""
