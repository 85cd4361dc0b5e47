"""Settings every test shares."""

from hypothesis import settings

# The same commit draws the same examples on every machine, so a failure can be repeated;
# `--hypothesis-profile=default` searches afresh.
settings.register_profile("repeatable", derandomize=True)
settings.load_profile("repeatable")
