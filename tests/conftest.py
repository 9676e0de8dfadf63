"""Settings of all tests."""

from hypothesis import settings

# Keeps the names and output of failed tests in build/failed-tests/.
pytest_plugins = ["failure_report"]

# Examples that are new in each run find faults, but in a run that has nothing to do with them: `make properties`.
# No deadline for an example: its duration depends on how busy the machine is, not on the code.
settings.register_profile("random", deadline=None)
# The same examples in each run, so that a change fails by its own faults only. A search takes more of them.
settings.register_profile("repeatable", settings.get_profile("random"), derandomize=True, max_examples=50)
# Fewer examples, for runs that are slow for another reason, such as coverage.
settings.register_profile("quick", settings.get_profile("repeatable"), max_examples=20)
settings.load_profile("repeatable")
