"""Fairness: what honest clients notice while others flood the enforcer, each of them a process of its own.

`make fairness` measures every flood for several seconds and prints a table; `test_fairness.py` is the short form.
"""
