"""Drivers, stand-in servers, and helpers that the tests share; tests/README.md says which driver to use."""
