"""The places of a request that a token may be in, other than `Authorization: Bearer`."""
