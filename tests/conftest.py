"""What holds for every test: a property is true or false, however slow the machine is on which it is asked."""

from hypothesis import settings

settings.register_profile("herd", deadline=None, max_examples=50)
settings.load_profile("herd")
