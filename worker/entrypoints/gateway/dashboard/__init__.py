"""The dashboard: pages for people, of what is asked through NATS as everybody asks."""
