"""The names of the headers that requests and replies carry."""

IDEMPOTENCY_KEY = "Idempotency-Key"
MESSAGE_ID = "Nats-Msg-Id"
DEADLINE = "Library-Deadline"
TRACEPARENT = "traceparent"
TRACESTATE = "tracestate"
TRANSPORT = "Library-Transport"
"""How a request reached NATS: ``http`` from the gateway; absent for everybody else."""

DEAD_REASON = "Library-Dead-Reason"

REQUEST_ID = "Library-Request-Id"
REPLAYED = "Idempotency-Replayed"
RETRY_AFTER = "Retry-After"
ERROR_CODE = "Nats-Service-Error-Code"
ERROR = "Nats-Service-Error"
CONTENT_TYPE = "Content-Type"

JSON = "application/json"
PROBLEM_JSON = "application/problem+json"
CLOUDEVENT_JSON = "application/cloudevents+json"
