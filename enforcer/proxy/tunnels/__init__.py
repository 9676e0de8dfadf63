"""Tunnels: connections after an upgrade (RFC 9110 §7.8), and when they end."""
