"""The peers' own subjects of NATS."""

SEED_COMPLETED = "seed.deployment.completed"
ORM_REQUEST = "orm.deploy.request"
ORM_COMPLETED = "orm.deployment.completed"
QUEUE_COMPLETED = "queue.deployment.completed"
