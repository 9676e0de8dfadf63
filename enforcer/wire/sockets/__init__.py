"""Access to what is below a connection: its descriptor, and the decrypted bytes of TLS."""
