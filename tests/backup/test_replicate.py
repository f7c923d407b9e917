"""A database of another server is replicated here while it is written to, and what has begun can be ended."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from exchange_backup import replicate
from exchange_backup.cli import main
from exchange_backup.config import Config
from exchange_backup.errors import BackupError
from exchange_backup.move import reopen
from exchange_backup.replicate import changes, conninfo, named, obstacles
from exchange_backup.source import leading_to
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from testing.server import FAST, Server

from backup.conftest import TABLES, environment, write
from backup.test_restore import ask, databases, digest

SHOP, COPY = "exchange_shop", "exchange_moved"
PATIENCE = 60.0
GOOD: dict[str, Any] = {
    "version": 150000,
    "standby": False,
    "wal_level": "logical",
    "slots": 3,
    "senders": 3,
    "may_publish": True,
    "large_objects": 0,
    "tables": ["public.account"],
    **{kind: [] for kind in ("others", "keyless", "unlogged", "materialized", "triggered", "forced")},
}


@pytest.mark.parametrize(
    ("fact", "said"),
    [
        ({"version": 90624}, "it is a PostgreSQL older than 10, which has no publications"),
        ({"standby": True}, "it is a standby: name the primary"),
        ({"wal_level": "replica"}, "wal_level is replica: set it to logical and restart it"),
        ({"slots": 2}, "2 replication slots are free, 3 are needed: raise max_replication_slots"),
        ({"senders": 0}, "0 WAL senders are free, 3 are needed: raise max_wal_senders"),
        ({"may_publish": False}, "the role may not make a publication: GRANT CREATE ON DATABASE to it"),
        ({"large_objects": 7}, "it has 7 large objects, which aren't replicated"),
        ({"tables": []}, "it has no table"),
        ({"others": ["public.a"]}, "public.a belong to somebody else: name their owner, or a superuser"),
        (
            {"keyless": ["public.a", "b.c"]},
            "public.a, b.c have nothing by which a row is known: give them a primary key",
        ),
        ({"unlogged": ["public.a"]}, "public.a are UNLOGGED"),
        ({"materialized": ["public.a"]}, "public.a are materialized views"),
        ({"triggered": ["public.a"]}, "public.a have triggers that fire for replicated rows too"),
        ({"forced": ["public.a"]}, "public.a FORCE ROW LEVEL SECURITY"),
    ],
)
def test_what_keeps_a_source_from_being_replicated(fact: dict[str, Any], said: str) -> None:
    assert obstacles(GOOD) == []
    (found,) = obstacles({**GOOD, **fact})
    assert found.startswith(said)


def test_all_of_it_is_told_at_once() -> None:
    assert len(obstacles({**GOOD, "wal_level": "replica", "slots": 0, "keyless": ["a"]})) == 3


@pytest.mark.parametrize(
    ("names", "said"), [([], ""), (["a", "b"], "a, b"), (list("abcdefg"), "a, b, c, d, e and 2 more")]
)
def test_a_few_names_are_enough(names: list[str], said: str) -> None:
    assert named(names) == said


@pytest.mark.parametrize(
    ("source", "root", "expected"),
    [
        (
            {"PGHOST": "db", "PGPORT": "6432", "PGDATABASE": "shop"},
            "",
            {"host": "db", "port": "6432", "dbname": "shop"},
        ),
        ({"PGPASSWORD": "it's a \\ secret"}, "", {"password": "it's a \\ secret"}),
        ({"PGSSLROOTCERT": "system", "PGSSLMODE": ""}, "", {"sslrootcert": "system"}),
        ({"PGSSLROOTCERT": "/key/ca.crt"}, "/members/ca.crt", {"sslrootcert": "/members/ca.crt"}),
        ({"PGHOST": "db", "PGOPTIONS": "-c x=y"}, "/members/ca.crt", {"host": "db", "sslrootcert": "/members/ca.crt"}),
    ],
)
def test_how_the_server_here_reaches_the_source(source: dict[str, str], root: str, expected: dict[str, str]) -> None:
    assert conninfo_to_dict(conninfo(source, root)) == expected


@pytest.mark.parametrize(
    ("before", "now", "found"),
    [
        ("a\nb", "a\nb", []),
        ("a\nb", "a\nc", ["-b", "+c"]),
        ("a", "a\n++ odd\n", ["+++ odd"]),
        ("", "CREATE TABLE x ();", ["+CREATE TABLE x ();"]),
    ],
)
def test_what_differs_between_schemas(before: str, now: str, found: list[str]) -> None:
    assert changes(before, now) == found


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[dict[str, str]]:
    """Return libpq's variables for another server, whose database the tests share."""
    server = Server({**FAST, "wal_level": "logical"})
    yield {**environment(server), "PGDATABASE": SHOP}
    server.remove()


@pytest.fixture
def source(elsewhere: dict[str, str], libpq: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """Make the database there and point the program's source to it; what tests leave is gone afterwards."""
    del libpq
    for name, value in elsewhere.items():
        monkeypatch.setenv(f"SOURCE_{name}", value)
    with leading_to(elsewhere):
        ask(f"CREATE DATABASE {SHOP}")
        with psycopg.connect(dbname=SHOP, autocommit=True) as connection:
            connection.execute(TABLES.encode())
            connection.execute("CREATE TABLE fill (id serial PRIMARY KEY, n int)")
    before = databases()
    yield elsewhere
    for name, value in elsewhere.items():
        monkeypatch.setenv(f"SOURCE_{name}", value)
    replicate.detach()
    for name in map(str, databases() - before):
        ask(f'DROP DATABASE "{name}"')
    with leading_to(elsewhere):
        ask(f"DROP DATABASE {SHOP} WITH (FORCE)")


@pytest.fixture
def program(config: Config, source: dict[str, str], tmp_path: Path) -> Callable[..., int]:
    """Return the command line."""
    del source
    file = write(config, tmp_path)
    return lambda *arguments: main([f"--config={file}", *arguments])


def left_at(source: dict[str, str]) -> list[tuple[object, ...]]:
    """Return the slots and publications that there are."""
    with leading_to(source):
        return ask("SELECT slot_name FROM pg_replication_slots") + ask(
            "SELECT pubname FROM pg_publication", database=SHOP
        )


def subscriptions() -> list[tuple[object, ...]]:
    return ask("SELECT subname FROM pg_subscription")


def is_open(source: dict[str, str]) -> bool:
    with leading_to(source):
        try:
            ask("INSERT INTO fill (n) VALUES (-1)", database=SHOP)
        except psycopg.errors.ReadOnlySqlTransaction:
            return False
    return True


def test_what_is_acknowledged_while_it_goes_on_is_there_after_the_cut(
    program: Callable[..., int], source: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    acknowledged: list[int] = []
    refused: list[str] = []
    there = make_conninfo(
        **{word: source[variable] for variable, word in replicate.WORDS.items() if variable in source}
    )

    def trade() -> None:
        """Write until that is refused."""
        with psycopg.connect(there, autocommit=True) as server:
            try:
                while True:
                    row = server.execute("INSERT INTO fill (n) VALUES (1) RETURNING id").fetchone()
                    assert row
                    acknowledged.append(row[0])
                    server.execute("UPDATE account SET name = %s WHERE id = %s", (f"n{row[0]}", 1 + row[0] % 100))
            except psycopg.Error as error:
                refused.append(str(error))

    traders = [threading.Thread(target=trade) for _ in range(3)]
    for trader in traders:
        trader.start()
    assert program("replicate", f"--database={COPY}") == 0
    assert re.fullmatch(rf"{COPY} moving_[0-9]+\n", capsys.readouterr().out)
    assert not refused
    before = len(acknowledged)
    # Again: it goes on, whatever name is said.
    assert program("replicate", "--database=exchange_other") == 0
    assert re.fullmatch(rf"{COPY} moving_[0-9]+\n", capsys.readouterr().out)
    assert program("cut") == 0
    assert re.fullmatch(r"[0-9]+\.[0-9]\n", capsys.readouterr().out)
    for trader in traders:
        trader.join(PATIENCE)
    assert len(refused) == len(traders)
    assert len(acknowledged) > before > 0
    assert {row[0] for row in ask("SELECT id FROM fill", database=COPY)} >= set(acknowledged)
    with leading_to(source):
        wanted = digest(SHOP, "account", "posting", "fill", "django_migrations")
    assert digest(COPY, "account", "posting", "fill", "django_migrations") == wanted
    assert not is_open(source)
    # A new row doesn't take the number of an old one.
    ((new,),) = ask("INSERT INTO fill (n) VALUES (2) RETURNING id", database=COPY)
    assert int(str(new)) > max(acknowledged)
    assert program("detach") == 0
    assert left_at(source) == subscriptions() == []
    assert program("reopen") == 0
    assert is_open(source)


def test_it_is_ended_after_the_swap_wherever_its_database_is(
    program: Callable[..., int], source: dict[str, str], config: Config
) -> None:
    assert program("replicate", f"--database={COPY}") == 0
    assert program("cut") == 0
    live = f"{config.database}_live"
    ask(f"CREATE DATABASE {live}")
    assert program("swap", f"--live={live}", f"--new={COPY}") == 0
    assert ask("SELECT count(*) FROM posting", database=live) == [(2000,)]
    assert program("detach") == 0
    assert left_at(source) == subscriptions() == []


def test_what_is_abandoned_leaves_nothing_at_the_source_and_can_be_begun_again(
    program: Callable[..., int], source: dict[str, str]
) -> None:
    assert program("replicate", f"--database={COPY}") == 0
    assert len(left_at(source)) == 2
    assert program("detach") == 0
    assert left_at(source) == subscriptions() == []
    assert is_open(source)
    # The copy stays, and is no place to begin again.
    assert program("replicate", f"--database={COPY}") == 1
    assert left_at(source) == subscriptions() == []
    assert program("replicate", "--database=exchange_again") == 0
    # And once more when nothing is there.
    assert program("detach") == program("detach") == 0


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("CREATE TABLE log (line text)", "public.log have nothing by which a row is known"),
        ("CREATE UNLOGGED TABLE log (id int PRIMARY KEY)", "public.log are UNLOGGED"),
        ("CREATE MATERIALIZED VIEW totals AS SELECT 1", "public.totals are materialized views"),
        ("SELECT lo_create(0)", "it has 1 large objects"),
        ("ALTER TABLE fill FORCE ROW LEVEL SECURITY", "public.fill FORCE ROW LEVEL SECURITY"),
        (
            """CREATE TRIGGER t BEFORE UPDATE ON fill
            FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger();
            ALTER TABLE fill ENABLE ALWAYS TRIGGER t""",
            "public.fill have triggers",
        ),
    ],
)
def test_a_source_that_cannot_be_replicated_stays_as_it_was(source: dict[str, str], statement: str, said: str) -> None:
    with leading_to(source):
        ask(statement, database=SHOP)
    before = databases()
    with pytest.raises(BackupError, match=f"{SHOP} of 127.0.0.1 can't be replicated: .*{said}"):
        replicate.replicate(COPY, PATIENCE)
    assert left_at(source) == subscriptions() == []
    assert databases() == before


def test_a_table_known_by_all_of_its_columns_will_do(program: Callable[..., int], source: dict[str, str]) -> None:
    with leading_to(source):
        ask("CREATE TABLE log (line text); ALTER TABLE log REPLICA IDENTITY FULL", database=SHOP)
        ask('CREATE TABLE "Odd ""name"" %%s" (id serial PRIMARY KEY)', database=SHOP)
    assert program("replicate", f"--database={COPY}") == 0
    with leading_to(source):
        ask("INSERT INTO log VALUES ('a'), ('b'); DELETE FROM log WHERE line = 'a'", database=SHOP)
        ask('INSERT INTO "Odd ""name"" %%s" DEFAULT VALUES', database=SHOP)
    assert program("cut") == 0
    assert ask("SELECT line FROM log", database=COPY) == [("b",)]
    assert ask('INSERT INTO "Odd ""name"" %%s" DEFAULT VALUES RETURNING id', database=COPY) == [(2,)]


def test_a_role_that_owns_the_tables_is_enough_and_one_that_may_not_replicate_is_told(
    source: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with leading_to(source):
        ask("CREATE ROLE shop LOGIN PASSWORD 'shop'")
    try:
        monkeypatch.setenv("SOURCE_PGUSER", "shop")
        monkeypatch.setenv("SOURCE_PGPASSWORD", "shop")
        with pytest.raises(
            BackupError, match=r"may not make a publication: .*; public\.account, .* belong to somebody"
        ):
            replicate.replicate(COPY, PATIENCE)
        with leading_to(source):
            ask(f"ALTER DATABASE {SHOP} OWNER TO shop")
            for table in ("account", "posting", "fill", "django_migrations"):
                ask(f"ALTER TABLE {table} OWNER TO shop", database=SHOP)
        with pytest.raises(BackupError, match="does the role have REPLICATION"):
            replicate.replicate(COPY, PATIENCE)
        assert left_at(source) == subscriptions() == []
        assert COPY not in databases()
        with leading_to(source):
            ask("ALTER ROLE shop REPLICATION")
        assert replicate.replicate(COPY, PATIENCE, owner="tests").database == COPY
        replicate.detach()
    finally:
        with leading_to(source):
            ask("REASSIGN OWNED BY shop TO tests", database=SHOP)
            ask(f"ALTER DATABASE {SHOP} OWNER TO tests")
            ask("DROP ROLE shop")


def test_what_fails_while_it_begins_takes_everything_back(
    source: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = databases()
    # The server here finds nobody where this process does.
    monkeypatch.setattr(replicate, "make_conninfo", lambda **told: make_conninfo(**{**told, "port": "1"}))
    with pytest.raises(
        BackupError, match=r"replicate into exchange_moved: could not connect to the publisher"
    ) as found:
        replicate.replicate(COPY, PATIENCE)
    assert "password" not in str(found.value)
    assert left_at(source) == subscriptions() == []
    assert databases() == before


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("ALTER TABLE fill ADD COLUMN more int", r"\+ +more integer"),
        ("CREATE TABLE late (id int PRIMARY KEY)", r"\+CREATE TABLE public\.late"),
        ("CREATE VIEW late AS SELECT 1 AS one", r"\+CREATE VIEW public\.late"),
    ],
)
def test_a_schema_that_has_changed_is_refused_before_anything_is_closed(
    config: Config, source: dict[str, str], statement: str, said: str
) -> None:
    replicate.replicate(COPY, PATIENCE)
    with leading_to(source):
        ask(statement, database=SHOP)
        watched = psycopg.connect(dbname=SHOP, autocommit=True)
    with pytest.raises(BackupError, match=rf"the schema of {SHOP} has changed since replication began: .*{said}"):
        replicate.cut(config)
    # Its session was not ended.
    watched.execute("INSERT INTO fill (n) VALUES (3)")
    watched.close()


def test_a_cut_that_fails_opens_the_source_again_and_can_be_repeated(config: Config, source: dict[str, str]) -> None:
    replicate.replicate(COPY, PATIENCE)
    ask("DELETE FROM posting WHERE id = 7", database=COPY)
    with pytest.raises(BackupError, match=r"not what .* holds: public\.posting has 1999 rows, not 2000"):
        replicate.cut(config)
    assert is_open(source)
    with leading_to(source):
        ask("INSERT INTO posting SELECT 5000, 1, 1", database=SHOP)
    ask("INSERT INTO posting VALUES (7, 8, 7)", database=COPY)
    facts, seconds = replicate.cut(config)
    assert facts.rows["public.posting"] == 2001
    assert seconds > 0
    # The playbook changes its mind: the source takes writes, and they come here.
    with leading_to(source):
        reopen(SHOP)
    replicate.resume()
    assert is_open(source)
    assert replicate.replicate(COPY, PATIENCE).database == COPY
    assert ask("SELECT count(*) FROM fill WHERE n = -1", database=COPY) == [(2,)]


def test_what_does_not_catch_up_in_time_goes_on(source: dict[str, str]) -> None:
    replicate.replicate(COPY, PATIENCE)
    with psycopg.connect(dbname=COPY) as blocker:
        blocker.execute("LOCK TABLE fill")
        assert is_open(source)
        with pytest.raises(BackupError, match=r"exchange_moved has not caught up in 1 s: 4 of 4 tables, .* KiB to go"):
            replicate.replicate(COPY, 1.0)
    assert replicate.replicate(COPY, PATIENCE).database == COPY


def test_a_slot_that_cannot_be_dropped_is_named(source: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    replicate.replicate(COPY, PATIENCE)
    monkeypatch.setenv("SOURCE_PGPASSWORD", "wrong")
    with pytest.raises(
        BackupError, match=r"keeps its WAL for the slot moving_[0-9]+ until its disk is full: .* password"
    ):
        replicate.detach()
    assert subscriptions() == []
    monkeypatch.setenv("SOURCE_PGPASSWORD", source["PGPASSWORD"])
    assert replicate.detach() == ""
    assert left_at(source) == []


def test_there_is_nothing_to_cut(config: Config, source: dict[str, str]) -> None:
    with pytest.raises(BackupError, match="nothing is being replicated"):
        replicate.cut(config)
    assert is_open(source)
