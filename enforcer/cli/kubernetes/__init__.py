"""The commands for Kubernetes; modules with an underscore are helpers."""
