class EmbeddedServerError(Exception):
    """The machine or its set-up stands in the way; the message is one line that says what to do next."""
