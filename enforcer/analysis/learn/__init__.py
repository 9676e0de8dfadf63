"""Proposes rules from a decision log: path templates, what the requests under each have in common, and the rules."""
