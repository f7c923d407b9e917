"""A PostgreSQL and an S3 server of the tests' own, and a configuration that joins them."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pyrage
import pytest
from exchange_backup import commands
from exchange_backup.backup import Job
from exchange_backup.bucket import Bucket
from exchange_backup.config import Config, Retention, Target
from exchange_backup.manifest import DATABASE, Manifest
from testing.server import FAST, Server

from backup.gateway import REGION, ROOT, Gateway

COUNTER = itertools.count()
TABLES = """
CREATE TABLE account (id bigint PRIMARY KEY, name text NOT NULL);
CREATE TABLE posting (id bigint PRIMARY KEY, account bigint NOT NULL REFERENCES account, amount numeric NOT NULL);
CREATE TABLE django_migrations (id bigserial PRIMARY KEY, app text NOT NULL, name text NOT NULL);
INSERT INTO django_migrations (app, name) VALUES
  ('ledger', '0001_initial'), ('ledger', '0002_views'), ('wallet', '0001_initial');
INSERT INTO account SELECT i, 'account ' || i FROM generate_series(1, 100) i;
INSERT INTO posting SELECT i, 1 + i % 100, i FROM generate_series(1, 2000) i;
"""
# PostgreSQL refuses to run as root, who the tests may be; a container's user never is.
AS_POSTGRES = """\
#!/bin/sh
for word; do case $word in --pgdata=*) folder=$(dirname "${{word#--pgdata=}}"); chown -R postgres "$folder";; esac; done
exec setpriv --reuid=postgres --regid=postgres --clear-groups {program} "$@"
"""


@pytest.fixture(autouse=True)
def _no_credentials_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith(("AWS_", "PG"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """Return the S3 server."""
    made = Gateway(tmp_path_factory.mktemp("s3"))
    yield made
    made.kill()


@pytest.fixture
def own_gateway(tmp_path: Path) -> Iterator[Gateway]:
    """Return an S3 server that the test may kill."""
    made = Gateway(tmp_path / "s3")
    yield made
    made.kill()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """Return a PostgreSQL, whose programs are found first."""
    server = Server(FAST)
    before = os.environ["PATH"]
    os.environ["PATH"] = f"{server.bin}:{before}"
    yield server
    os.environ["PATH"] = before
    server.remove()


@pytest.fixture
def drill_folder(postgres: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return where a drill may put its server; let initdb and pg_ctl run as postgres if the tests run as root."""
    if os.geteuid() == 0:
        shims = tmp_path / "shims"
        shims.mkdir()
        for program in ("initdb", "pg_ctl"):
            shim = shims / program
            shim.write_text(AS_POSTGRES.format(program=postgres.bin / program))
            shim.chmod(shim.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("PATH", f"{shims}:{os.environ['PATH']}")
    # Short, since a socket's path is; tmp_path is not.
    made = Path(tempfile.gettempdir()) / f"drills-{os.getpid()}"
    made.mkdir(exist_ok=True)
    made.chmod(0o711)
    yield made
    shutil.rmtree(made)


@pytest.fixture
def libpq(postgres: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Point libpq to the PostgreSQL."""
    for name, value in environment(postgres).items():
        monkeypatch.setenv(name, value)


def environment(server: Server) -> dict[str, str]:
    """Return libpq's variables that lead to a server."""
    return {"PGHOST": "127.0.0.1", "PGPORT": str(server.port), "PGUSER": "tests", "PGPASSWORD": "tests"}


@pytest.fixture
def database(libpq: None) -> Iterator[str]:
    """Return a database with tables in it, which is gone afterwards, and with it all whose name begins alike."""
    del libpq
    name = f"exchange{next(COUNTER)}"
    with psycopg.connect(dbname="postgres", autocommit=True) as server:
        server.execute(f"CREATE DATABASE {name}")
    with psycopg.connect(dbname=name) as made:
        made.execute(TABLES)
    yield name
    with psycopg.connect(dbname="postgres", autocommit=True) as server:
        for (one,) in server.execute(
            "SELECT datname FROM pg_database WHERE datname ~ %s", (f"^{name}(_|$)",)
        ).fetchall():
            server.execute(f'DROP DATABASE "{one}" WITH (FORCE)')


@pytest.fixture
def make_bucket(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Target]:
    """Return a function that makes a bucket and gives this process root's credentials."""

    def make(where: Gateway = gateway, **options: Any) -> Target:
        name = f"bucket-{next(COUNTER)}"
        where.client().create_bucket(Bucket=name, **options)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", ROOT[0])
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", ROOT[1])
        return Target(
            bucket=name,
            name="offsite",
            prefix="prod",
            endpoint=where.endpoint,
            region=REGION,
            path_style=True,
            attempts=2,
            part_mib=5,
            segment_mib=64,
        )

    return make


@pytest.fixture
def target(make_bucket: Callable[..., Target]) -> Target:
    """Return a new bucket."""
    return make_bucket()


@pytest.fixture(scope="session")
def keys() -> tuple[str, str]:
    """Return a public and a private key."""
    made = pyrage.x25519.Identity.generate()
    return str(made.to_public()), str(made)


@pytest.fixture
def key_file(keys: tuple[str, str], tmp_path: Path) -> Path:
    """Return a file as age-keygen writes it."""
    file = tmp_path / "key.txt"
    file.write_text(f"# created: 2026-01-01\n# public key: {keys[0]}\n{keys[1]}\n")
    return file


@pytest.fixture
def config(database: str, target: Target, keys: tuple[str, str]) -> Config:
    """Return a configuration for the database and the bucket."""
    return Config(
        target=target,
        database=database,
        compression="zstd:1" if "(PostgreSQL) 15" not in commands.output(["pg_dump", "--version"]) else "1",
        recipients=(keys[0],),
        tables=("account", "public.posting"),
        retention=Retention(daily=2, weekly=0, monthly=0, yearly=0),
    )


def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget the way to every other database."""
    for name in ("PGHOST", "PGPORT", "PGUSER", "PGPASSWORD"):
        monkeypatch.delenv(name)


def make_noise(database: str, mebibytes: int) -> None:
    """Make a table that doesn't compress."""
    with psycopg.connect(dbname=database) as server:
        server.execute("CREATE TABLE noise (i int PRIMARY KEY, data bytea)")
        server.execute("ALTER TABLE noise ALTER data SET STORAGE EXTERNAL")
        server.execute(
            "INSERT INTO noise SELECT i, (SELECT string_agg(sha512((i || '-' || j)::bytea), ''::bytea)"
            " FROM generate_series(1, 16384) j) FROM generate_series(1, %s) i",
            (mebibytes,),
        )


def back_up(config: Config, series: str = DATABASE) -> Manifest:
    """Make a backup."""
    return Job(config, Bucket(config.target), datetime.now(UTC), series).run()


def write(config: Config, folder: Path) -> Path:
    """Return a file with a configuration."""
    file = folder / "config.json"
    file.write_text(json.dumps(dataclasses.asdict(config)))
    return file
