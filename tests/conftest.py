"""Settings of all tests."""

from hypothesis import settings

# Keeps the names and output of failed tests in build/failed-tests/.
pytest_plugins = ["failure_report"]

# No deadline for an example: its duration depends on how busy the machine is, not on the code.
settings.register_profile("untimed", deadline=None)
# Fewer examples, for runs that are slow for another reason, such as coverage: pytest --hypothesis-profile=quick
settings.register_profile("quick", settings.get_profile("untimed"), max_examples=20)
settings.load_profile("untimed")
