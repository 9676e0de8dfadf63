"""Stand-ins for a cluster, Kubernetes schemas and checks, and manifests and chart values to try."""
