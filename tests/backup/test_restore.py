"""Restored beside the live database, checked, and swapped by name; what fails leaves the live one as it is."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import psycopg
import pytest
from exchange_backup import crypt, restore, swap
from exchange_backup.bucket import Bucket
from exchange_backup.cli import main
from exchange_backup.config import Config
from exchange_backup.errors import BackupError
from psycopg import sql

from backup.conftest import back_up, write

CONTENT = "SELECT md5(string_agg(t::text, ',' ORDER BY id)) FROM {} t"


def digest(database: str, *tables: str) -> list[str]:
    with psycopg.connect(dbname=database) as server:
        queries = [sql.SQL(CONTENT).format(sql.Identifier(table)) for table in tables]
        rows = [server.execute(query).fetchone() for query in queries]
    return [row[0] for row in rows if row]


def ask(query: str, *values: object, database: str = "postgres") -> list[tuple[object, ...]]:
    with psycopg.connect(dbname=database, autocommit=True) as server:
        found = server.execute(query.encode(), values)
        return found.fetchall() if found.description else []


def databases() -> set[object]:
    return {row[0] for row in ask("SELECT datname FROM pg_database")}


@pytest.fixture
def role(libpq: None) -> Iterator[str]:
    """Return a role that is gone afterwards."""
    del libpq
    ask("CREATE ROLE shop_owner")
    yield "shop_owner"
    for (name,) in ask("SELECT datname FROM pg_database WHERE datallowconn AND datname ~ '^exchange'"):
        ask("DROP OWNED BY shop_owner CASCADE", database=str(name))
        ask(f'ALTER DATABASE "{name}" OWNER TO tests')
    ask("DROP ROLE shop_owner")


def test_a_restored_database_holds_what_the_snapshot_held(
    config: Config, key_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = digest(config.database, "account", "posting")
    file = write(config, tmp_path)
    assert main([f"--config={file}", "backup"]) == 0
    ask("DELETE FROM posting", database=config.database)
    assert main([f"--config={file}", "restore", f"--private-key={key_file}"]) == 0
    name = capsys.readouterr().out.strip()
    assert name.startswith(f"{config.database}_2")
    assert digest(name, "account", "posting") == wanted
    # The live one is as it was.
    assert ask("SELECT count(*) FROM posting", database=config.database) == [(0,)]


def test_a_parallel_restore_leaves_nothing_in_its_scratch_folder(
    config: Config, key_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = digest(config.database, "account", "posting")
    file, scratch = write(config, tmp_path), tmp_path / "scratch"
    scratch.mkdir()
    back_up(config)
    command = [f"--config={file}", "restore", f"--private-key={key_file}", f"--scratch={scratch}", "--jobs=2"]
    assert main(command) == 0
    assert digest(capsys.readouterr().out.strip(), "account", "posting") == wanted
    assert list(scratch.iterdir()) == []


def test_a_parallel_restore_that_fails_says_why_and_leaves_nothing(
    config: Config, key_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask("CREATE ROLE visitor")
    ask("ALTER TABLE posting OWNER TO visitor", database=config.database)
    made, keys, bucket = back_up(config), crypt.identities(key_file), Bucket(config.target)
    ask("ALTER TABLE posting OWNER TO tests", database=config.database)
    ask("DROP ROLE visitor")
    name, before, scratch = f"{config.database}_new", databases(), tmp_path / "scratch"
    scratch.mkdir()
    with pytest.raises(BackupError, match=r'pg_restore ended with 1: .*role "visitor" does not exist'):
        restore.restore(bucket, made, keys, name, restore.How(jobs=2, scratch=scratch))
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=10))
    with pytest.raises(BackupError, match=r"has 10 bytes left, \d+ are needed"):
        restore.restore(bucket, made, keys, name, restore.How(jobs=2, scratch=scratch))
    assert databases() == before
    assert list(scratch.iterdir()) == []


def test_the_new_name_is_one_that_postgresql_takes(config: Config) -> None:
    made = back_up(config)
    long = dataclasses.replace(made, database=dataclasses.replace(made.database, name="x" * 60))
    assert len(restore.new_name(long)) == 63
    assert restore.new_name(long).endswith(made.id[:16].lower())


def test_a_database_that_exists_is_never_written_to(config: Config, key_file: Path) -> None:
    made = back_up(config)
    with pytest.raises(BackupError, match=f"database {config.database} exists: a restore never writes into one"):
        restore.restore(Bucket(config.target), made, crypt.identities(key_file), config.database)
    assert ask("SELECT count(*) FROM account", database=config.database) == [(100,)]


@pytest.mark.parametrize(
    ("rows", "applied", "said"),
    [
        ({"account": 101}, {}, "account has 100 rows, not 101"),
        ({}, {"ledger": "0003_more"}, "ledger is at migration 0002_views, not 0003_more"),
        ({}, {"gone": "0001"}, "gone is at migration None, not 0001"),
        ({"gone": 1}, {}, 'relation "gone" does not exist'),
    ],
)
def test_what_is_not_as_the_manifest_says_is_no_restore(
    config: Config, key_file: Path, rows: dict[str, int], applied: dict[str, str], said: str
) -> None:
    made = back_up(config)
    facts = dataclasses.replace(
        made.database, rows={**made.database.rows, **rows}, migrations={**made.database.migrations, **applied}
    )
    name = f"{config.database}_new"
    with pytest.raises(BackupError, match=said):
        restore.restore(
            Bucket(config.target), dataclasses.replace(made, database=facts), crypt.identities(key_file), name
        )
    assert name not in databases()
    assert config.database in databases()


def test_a_dump_that_the_server_can_t_take(config: Config, key_file: Path) -> None:
    ask("CREATE ROLE leaver")
    ask("ALTER TABLE posting OWNER TO leaver", database=config.database)
    made = back_up(config)
    ask("ALTER TABLE posting OWNER TO tests", database=config.database)
    ask("DROP ROLE leaver")
    name, keys, bucket = f"{config.database}_new", crypt.identities(key_file), Bucket(config.target)
    with pytest.raises(BackupError, match=r'pg_restore .*role "leaver" does not exist'):
        restore.restore(bucket, made, keys, name)
    assert name not in databases()
    assert restore.roles(bucket, made, keys) == ["leaver"]
    restore.restore(bucket, made, keys, name)
    assert ask("SELECT tableowner FROM pg_tables WHERE tablename = 'posting'", database=name) == [("leaver",)]
    ask("DROP OWNED BY leaver CASCADE", database=name)
    ask("DROP ROLE leaver")


def test_everything_can_be_given_to_one_owner(config: Config, key_file: Path, role: str) -> None:
    made = back_up(config)
    name = f"{config.database}_new"
    restore.restore(Bucket(config.target), made, crypt.identities(key_file), name, restore.How(owner=role))
    owners = "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'"
    assert ask(owners, database=name) == [(role,)]


def test_nobody_else_gets_into_what_is_restored(config: Config, key_file: Path) -> None:
    made = back_up(config)
    name = f"{config.database}_new"
    restore.restore(Bucket(config.target), made, crypt.identities(key_file), name)
    rights = "SELECT has_database_privilege('pg_monitor', %s, 'CONNECT')"
    assert ask(rights, name) == [(False,)]


@pytest.fixture
def with_secrets(config: Config, tmp_path: Path) -> Config:
    """Return a configuration with a folder as Kubernetes mounts a Secret."""
    folder = tmp_path / "secrets"
    (folder / "..2026").mkdir(parents=True)
    (folder / "..2026" / "shop.keys.SECRET_KEY").write_text("only-for-tests\n")
    (folder / "..data").symlink_to("..2026")
    (folder / "shop.keys.SECRET_KEY").symlink_to("..data/shop.keys.SECRET_KEY")
    return dataclasses.replace(config, folders={"secrets": str(folder)})


def test_a_folder_comes_back_as_texts_or_as_files(
    with_secrets: Config, key_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(with_secrets, tmp_path)
    assert main([f"--config={file}", "backup"]) == 0
    command = [f"--config={file}", "folder", f"--private-key={key_file}"]
    capsys.readouterr()
    assert main([*command, "secrets"]) == 0
    assert json.loads(capsys.readouterr().out) == {"shop.keys.SECRET_KEY": "only-for-tests\n"}
    to = tmp_path / "to"
    to.mkdir()
    assert main([*command, "secrets", f"--to={to}"]) == 0
    assert (to / "shop.keys.SECRET_KEY").read_text() == "only-for-tests\n"


def test_only_folders_that_are_there_are_unpacked_and_only_into_empty_ones(
    with_secrets: Config, key_file: Path, tmp_path: Path
) -> None:
    made, bucket, keys = back_up(with_secrets), Bucket(with_secrets.target), crypt.identities(key_file)
    to = tmp_path / "to"
    to.mkdir()
    with pytest.raises(BackupError, match="has no folder media: it has secrets"):
        restore.folder(bucket, made, keys, "media", to)
    (to / "mine").touch()
    with pytest.raises(BackupError, match="is not an empty folder"):
        restore.folder(bucket, made, keys, "secrets", to)
    assert [file.name for file in to.iterdir()] == ["mine"]


def test_the_swap_renames_and_drops_nothing(config: Config, role: str) -> None:
    live, new = config.database, f"{config.database}_new"
    ask(f"CREATE DATABASE {new}")
    ask("CREATE TABLE restored (id int)", database=new)
    ask(f"ALTER DATABASE {live} OWNER TO {role}")
    ask(f"REVOKE ALL ON DATABASE {live} FROM PUBLIC")
    ask(f"GRANT CONNECT ON DATABASE {live} TO {role}")
    ask(f"ALTER DATABASE {live} SET statement_timeout TO '42s'")
    ask(f"ALTER ROLE {role} IN DATABASE {live} SET application_name TO 'a, b'")
    rights = "SELECT datacl::text, datdba FROM pg_database WHERE datname = %s"
    before = ask(rights, live)
    with psycopg.connect(dbname=live, autocommit=True) as customer:
        old = swap.swap(live, new)
        with pytest.raises(psycopg.OperationalError):
            customer.execute("SELECT 1")
    assert ask("SELECT to_regclass('restored') IS NOT NULL", database=live) == [(True,)]
    assert ask("SELECT count(*) FROM account", database=old) == [(100,)]
    assert ask(rights, live) == before
    assert ask("SHOW statement_timeout", database=live) == [("42s",)]
    settings = "SELECT setconfig FROM pg_db_role_setting s JOIN pg_database d ON d.oid = setdatabase WHERE datname = %s"
    assert (["application_name=a, b"],) in ask(settings, live)
    assert new not in databases()
    # And back again.
    assert swap.swap(live, old).startswith(f"{live}_before_")
    assert ask("SELECT count(*) FROM account", database=live) == [(100,)]


def test_a_swap_that_fails_leaves_everything_as_it_was(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    live, new = config.database, f"{config.database}_new"
    ask(f"CREATE DATABASE {new}")
    rename = swap.renamed
    monkeypatch.setattr(swap, "renamed", lambda name, to: rename("nobody", to) if name == new else rename(name, to))
    before = databases()
    with pytest.raises(BackupError, match='"nobody" does not exist; both are as they were'):
        swap.swap(live, new)
    assert databases() == before
    assert ask("SELECT count(*) FROM account", database=live) == [(100,)]
    assert ask("SELECT 1", database=new) == [(1,)]


@pytest.mark.parametrize(("new", "said"), [("gone", "gone can't be swapped"), (None, "one and the same")])
def test_only_two_databases_can_be_swapped(config: Config, new: str | None, said: str) -> None:
    with pytest.raises(BackupError, match=said):
        swap.swap(config.database, new or config.database)
    assert ask("SELECT count(*) FROM account", database=config.database) == [(100,)]
