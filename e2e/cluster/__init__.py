"""A bare control plane: etcd from Debian, the API server built from Go modules; no nodes, no controllers.

This proves what only an API server can decide: that it takes every object of every chart and overlay, what Pod
Security, the webhook and the admission policy make of a pod, and that the webhook's RBAC is enough for what it does.
"""
