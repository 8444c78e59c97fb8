"""What the leader's worker does now and then."""

INSERT = """
INSERT INTO idempotency
SELECT '', 'library.deploy.request', 'key-' || number, '', NULL, '{}', now() + %s::interval
FROM generate_series(%s, %s) AS number
"""


def test_expired_outcomes_go_and_others_stay(own_system):
    own_system.start_servers()
    own_system.sql(INSERT, ("-1 second", 1, 1200))
    own_system.sql(INSERT, ("1 hour", 1201, 1210))

    own_system.start_worker().wait_for_line("expired_outcomes_removed")

    assert own_system.sql("SELECT count(*), min(expires_at) > now() FROM idempotency") == [(10, True)]
