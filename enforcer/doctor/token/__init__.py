"""The diagnosis with a real token: the code that serves verifies it, and each claim is listed with its reading."""
