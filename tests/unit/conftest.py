"""Unit tests share two cores with whoever else runs: hypothesis does not time single examples."""

from hypothesis import settings

settings.register_profile("library", deadline=None)
settings.load_profile("library")
