"""`python -m enforcer` is `enforcer`."""

from enforcer.cli import main

main()
