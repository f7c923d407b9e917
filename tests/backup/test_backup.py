"""A real dump of a real PostgreSQL into a real S3 server, and what is known of it."""

from __future__ import annotations

import dataclasses
import io
import subprocess
import tarfile
from pathlib import Path

import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from exchange_backup import catalog, crypt, verify
from exchange_backup.backup import Job
from exchange_backup.bucket import Bucket
from exchange_backup.config import Config
from exchange_backup.errors import BackupError
from exchange_backup.manifest import Manifest

from backup.conftest import back_up, make_noise


class Kept:
    """Keeps what is written."""

    def __init__(self) -> None:
        """Begin empty."""
        self.data = bytearray()

    def write(self, data: bytes) -> int:
        """Keep it."""
        self.data += data
        return len(data)


def content(config: Config, manifest: Manifest, name: str, key_file: Path) -> bytes:
    kept = Kept()
    verify.decrypt(Bucket(config.target), manifest.stream(name), crypt.identities(key_file), kept)
    return bytes(kept.data)


def test_a_backup_is_listed_and_says_what_it_holds(config: Config) -> None:
    made = back_up(config)
    (found,) = catalog.entries(Bucket(config.target))
    assert found.good
    assert found.manifest == made
    assert made.database.rows == {"account": 100, "public.posting": 2000}
    assert made.database.migrations == {"ledger": "0002_views", "wallet": "0001_initial"}
    assert made.database.source == "primary"
    with psycopg.connect(dbname=config.database) as server:
        row = server.execute(
            "SELECT current_setting('server_version'), pg_current_wal_lsn() >= %s::pg_lsn", (made.database.wal_lsn,)
        ).fetchone()
    assert row == (made.database.server_version, True)
    assert made.pg_dump_version.startswith("pg_dump (PostgreSQL)")


def test_what_is_stored_is_a_dump_that_postgresql_reads(config: Config, key_file: Path) -> None:
    made = back_up(config)
    dump = content(config, made, "database", key_file)
    listed = subprocess.run(["pg_restore", "--list"], input=dump, capture_output=True, check=True).stdout.decode()
    assert f"Compression: {'zstd' if config.compression == 'zstd:1' else ''}" in listed
    assert "TABLE DATA public posting" in listed
    assert b"CREATE ROLE tests;" in content(config, made, "globals", key_file)


def test_nothing_that_is_stored_can_be_read_without_a_key(config: Config) -> None:
    made = back_up(config)
    bucket = Bucket(config.target)
    for stream in made.streams:
        for segment in stream.segments:
            found = bucket.client.get_object(Bucket=config.target.bucket, Key=bucket.key(segment.name))["Body"].read()
            assert found.startswith(b"age-encryption.org/v1\n")
            assert b"PGDMP" not in found
            assert b"CREATE ROLE" not in found


def test_folders_are_part_of_a_backup(config: Config, key_file: Path, tmp_path: Path) -> None:
    (tmp_path / "media" / "proofs").mkdir(parents=True)
    (tmp_path / "media" / "proofs" / "passport.png").write_bytes(b"\x89PNG" * 1000)
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "SECRET_KEY").write_text("only-for-tests")
    folders = {name: str(tmp_path / name) for name in ("media", "secrets")}
    made = back_up(dataclasses.replace(config, folders=folders))
    with tarfile.open(fileobj=io.BytesIO(content(config, made, "media", key_file))) as archive:
        found = archive.extractfile("./proofs/passport.png")
        assert found is not None
        assert found.read() == b"\x89PNG" * 1000
    with tarfile.open(fileobj=io.BytesIO(content(config, made, "secrets", key_file))) as archive:
        assert "./SECRET_KEY" in archive.getnames()


def test_every_recipient_can_read_it(config: Config, tmp_path: Path, key_file: Path) -> None:
    other, key = tmp_path / "other", Ed25519PrivateKey.generate()
    other.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    made = back_up(dataclasses.replace(config, recipients=(*config.recipients, public)))
    assert content(config, made, "database", key_file) == content(config, made, "database", other)


def test_rows_are_counted_in_the_snapshot_that_is_dumped(
    config: Config, key_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows that are committed between the count and the dump are in neither."""
    store = Job.store

    def late(job: Job, name: str, *others: object, **more: object) -> object:
        if name == "database":
            with psycopg.connect(dbname=config.database) as server:
                server.execute("INSERT INTO account VALUES (9999, 'late')")
        return store(job, name, *others, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(Job, "store", late)
    made = back_up(config)
    dump = content(config, made, "database", key_file)
    argv = ["pg_restore", "--data-only", "--table=account", "--file=-"]
    rows = subprocess.run(argv, input=dump, capture_output=True, check=True).stdout.decode()
    assert rows.count("\taccount ") == made.database.rows["account"] == 100
    assert "late" not in rows


def test_a_long_stream_goes_on_in_further_objects(config: Config, key_file: Path) -> None:
    make_noise(config.database, 20)
    small = dataclasses.replace(config, target=dataclasses.replace(config.target, segment_mib=7))
    made = back_up(small)
    stream = made.stream("database")
    names = [segment.name.rpartition("/")[2] for segment in stream.segments]
    assert names[:3] == ["database.age", "database.age.001", "database.age.002"]
    assert all(segment.bytes <= 7 << 20 for segment in stream.segments)
    verify.check_content(Bucket(small.target), made, crypt.identities(key_file))
    assert len(content(small, made, "database", key_file)) == stream.plain_bytes


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"database": ""}, "database: name the one"),
        ({"database": "nobody"}, 'database "nobody" does not exist'),
        ({"recipients": ()}, "no public key is named"),
        ({"recipients": ("AGE-SECRET-KEY-1ABC",)}, "AGE-SECR... is not a public key"),
        ({"tables": ("gone",)}, 'relation "gone" does not exist'),
        ({"folders": {"media": "/does/not/exist"}}, "folders.media: /does/not/exist is not a folder"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_stored(config: Config, change: dict[str, object], said: str) -> None:
    wrong = dataclasses.replace(config, **change)  # type: ignore[arg-type]
    with pytest.raises(BackupError, match=said.replace(".", r"\.")):
        back_up(wrong)
    assert Bucket(config.target).sizes("") == {}


def test_a_role_that_only_reads_is_enough(config: Config, libpq: None, monkeypatch: pytest.MonkeyPatch) -> None:
    del libpq
    with psycopg.connect(dbname="postgres", autocommit=True) as server:
        server.execute("CREATE ROLE reader LOGIN PASSWORD 'reads' IN ROLE pg_read_all_data")
    try:
        with monkeypatch.context() as patch:
            patch.setenv("PGUSER", "reader")
            patch.setenv("PGPASSWORD", "reads")
            made = back_up(config)
    finally:
        with psycopg.connect(dbname="postgres", autocommit=True) as server:
            server.execute("DROP ROLE reader")
    assert made.database.rows["account"] == 100
    assert made.database.system_identifier.isdigit()
