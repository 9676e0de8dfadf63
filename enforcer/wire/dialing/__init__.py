"""Opens connections to a server: its addresses, TCP, TLS."""
