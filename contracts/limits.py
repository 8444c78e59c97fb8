"""The sizes that bound every message."""

MAX_BODY_BYTES = 1024 * 1024
MAX_DOCUMENT_BYTES = 256 * 1024
MAX_DETAILS_BYTES = 16 * 1024
MAX_DEPTH = 64
"""Levels of nesting of a body, which itself is level 1."""
MAX_PAGE_BYTES = 4 * 1024 * 1024
MAX_KEY_CHARACTERS = 255
MIN_SERVER_PAYLOAD = 4 * 1024 * 1024
"""What a nats-server must let through, so that every reply fits."""
MAX_MESSAGE_BYTES = MIN_SERVER_PAYLOAD - 16 * 1024
"""An event or a reply of so many bytes passes every nats-server with its headers, and alone in a list."""
MAX_PAGE = 2**31 - 1
