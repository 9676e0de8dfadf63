"""A bare control plane: etcd from Debian, the API server built from Go modules; no nodes, no controllers.

It tests what the API server decides by itself: whether it accepts every object of every chart and overlay, what Pod
Security, the webhook and the admission policy do with a pod, and whether the webhook's RBAC permissions suffice.
"""
