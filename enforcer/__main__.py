"""Runs the command line: `python -m enforcer` is the same as `enforcer`."""

from enforcer.cli import main

main()
