"""Fixtures that every test may use."""

from hypothesis import settings

# Keeps the names and output of failed tests in build/failed-tests/.
pytest_plugins = ["failure_report"]

# How long an example takes says how busy the machine is, and nothing of the code.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
