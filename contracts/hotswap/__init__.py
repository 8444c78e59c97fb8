"""What stands behind ``contracts.agent``: how a program is brought from one configuration to the next."""
