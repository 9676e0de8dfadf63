"""Reads OpenAPI documents (2.0 to 3.2), proposes rules from them, and compares them with a policy.

Nothing that cannot be read becomes a rule: it is left out with its cause, so that a guess never allows a request.
"""
