"""Sender-constrained tokens: DPoP (RFC 9449) and certificate-bound tokens (RFC 8705)."""
