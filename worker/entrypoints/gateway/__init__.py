"""The HTTP door: a NATS client that turns each request into its subject's message, and holds no rule."""
