"""The output of kustomize for k8s/: rendered by the real program (`make k8s`), stored here, and read by the tests.

SHA256SUMS lists every source file and every rendered file, so that the tests, which need no kustomize, notice when one
of them was changed without the others.
"""
