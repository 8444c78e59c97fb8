"""The commands of ``library``, a module each family."""
