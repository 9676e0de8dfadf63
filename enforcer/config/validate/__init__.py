"""Validates a configuration: its values, its parts against each other, and what is valid but probably unintended."""
