"""Settings of all tests."""

from hypothesis import settings

# Keeps the names and output of failed tests in build/failed-tests/.
pytest_plugins = ["failure_report"]

# No deadline for an example: its duration depends on how busy the machine is, not on the code.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
