"""What kustomize makes of k8s/: rendered by the real one (`make k8s`), kept here, and read by the tests.

SHA256SUMS names every file that it was made from and every file that was made, so that the tests, which need no
kustomize, know when one of them was changed without the others.
"""
