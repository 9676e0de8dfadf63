"""Tools over the policy."""
