"""What a server lacks of another's globals."""

from __future__ import annotations

import pytest
from exchange_backup.roles import missing, statements

GLOBALS = """\
--
-- PostgreSQL database cluster dump
--
\\restrict abc

SET default_transaction_read_only = off;

CREATE ROLE exchange_owner;
ALTER ROLE exchange_owner WITH NOSUPERUSER INHERIT NOCREATEROLE NOCREATEDB NOLOGIN NOREPLICATION NOBYPASSRLS;
CREATE ROLE "we ird""er";
ALTER ROLE "we ird""er" WITH LOGIN;
CREATE ROLE postgres;
ALTER ROLE postgres WITH SUPERUSER LOGIN;
COMMENT ON ROLE exchange_owner IS 'owns it;
all of it';
ALTER ROLE exchange_owner SET search_path TO 'public';
CREATE TABLESPACE fast OWNER postgres LOCATION '/fast';
GRANT exchange_owner TO "we ird""er" WITH INHERIT TRUE GRANTED BY postgres;
GRANT pg_monitor TO postgres GRANTED BY postgres;
"""


def test_a_statement_may_go_over_several_lines() -> None:
    assert "COMMENT ON ROLE exchange_owner IS 'owns it;\nall of it';" in statements(GLOBALS)


@pytest.mark.parametrize(
    ("there", "made", "some", "none"),
    [
        (
            ["postgres"],
            ["exchange_owner", 'we ird"er'],
            ["CREATE ROLE exchange_owner;", 'GRANT exchange_owner TO "we ird""er" WITH INHERIT TRUE;'],
            ["postgres", "TABLESPACE"],
        ),
        (["postgres", "exchange_owner", 'we ird"er'], [], [], ["ROLE"]),
        (
            ["postgres", "exchange_owner"],
            ['we ird"er'],
            ['ALTER ROLE "we ird""er" WITH LOGIN;', 'GRANT exchange_owner TO "we ird""er" WITH INHERIT TRUE;'],
            ["ALTER ROLE exchange_owner", "COMMENT"],
        ),
        ([], ["exchange_owner", "postgres", 'we ird"er'], ["GRANT pg_monitor TO postgres;"], ["GRANTED BY"]),
    ],
)
def test_only_what_is_missing_is_made(there: list[str], made: list[str], some: list[str], none: list[str]) -> None:
    wanted, names = missing(GLOBALS, there)
    assert names == made
    assert all(one in wanted for one in some)
    assert not any(word in one for word in none for one in wanted)
