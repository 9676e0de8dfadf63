"""Requests and responses as values: heads read and written, the fields that pass, the enforcer's own responses."""
