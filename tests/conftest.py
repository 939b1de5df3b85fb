"""What holds for every test: a property is true or false, however slow the machine is on which it is asked."""

import os

from hypothesis import settings

settings.register_profile("herd", deadline=None, max_examples=50)
# What CI judges is the change, not the luck of a draw: the same examples each time. Everybody else draws anew.
settings.register_profile("ci", deadline=None, max_examples=50, derandomize=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "herd"))
