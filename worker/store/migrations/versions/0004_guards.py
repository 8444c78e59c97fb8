"""Guards that the database keeps itself: what is checked before a commit needs no answer of its own."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_REQUIRE_ROWS = """
CREATE FUNCTION require_rows(what text, decided bigint, standing bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF standing <> decided THEN
        RAISE EXCEPTION USING
            ERRCODE = 'LB001',
            MESSAGE = format('%s of %s rows stand as decided (%s)', standing, decided, what);
    END IF;
END
$$
"""
_REQUIRE_TIME = """
CREATE FUNCTION require_time(deadline timestamptz) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF clock_timestamp() > deadline THEN
        RAISE EXCEPTION USING ERRCODE = 'LB002', MESSAGE = 'a deadline has passed';
    END IF;
END
$$
"""


def upgrade() -> None:
    op.execute(_REQUIRE_ROWS)
    op.execute(_REQUIRE_TIME)


def downgrade() -> None:
    op.execute("DROP FUNCTION require_rows, require_time")
