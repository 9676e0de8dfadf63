"""Renders the overlays of k8s/: `make k8s`."""

import subprocess
import sys

from kustomize.rendering import render

try:
    render()
except FileNotFoundError as error:
    sys.exit(str(error))
except subprocess.CalledProcessError as error:
    sys.exit(error.stderr.decode())
