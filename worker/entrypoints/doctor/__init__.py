"""The doctor: looks at settings, servers and processes, and says what to do about each."""
