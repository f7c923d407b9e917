"""What goes wrong ends in an error that says what, where and what to do, and in a figure that alerts.

Nothing partial is ever listed as good, and no good backup is lost.
"""

from __future__ import annotations

import dataclasses
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psycopg
import pyrage
import pytest
from exchange_backup import catalog, cli, crypt, report, restore, upload, verify
from exchange_backup.backup import Job
from exchange_backup.bucket import Bucket
from exchange_backup.config import Config, Target
from exchange_backup.errors import BackupError, s3
from exchange_backup.exporter import Figures
from exchange_backup.manifest import DATABASE, Manifest
from psycopg import sql
from testing.server import FAST, Server

from backup.conftest import alone, back_up, environment, make_noise, write
from backup.gateway import Gateway

SAMPLE = re.compile(r"exchange_backup_(\w+)\{(.*)\} (\S+)")
# What roles/postgres_backup/files/rules/backup.yml alerts on at once; that something grows old alerts later.
ALARMS: dict[str, Callable[[float], bool]] = {
    "bucket_up": lambda value: value == 0,
    "damaged": lambda value: value > 0,
    "report_success/backup": lambda value: value == 0,
    "report_success/drill": lambda value: value == 0,
}
Fails = Callable[[Config], str]


def figures(target: Target) -> dict[str, float]:
    """Return what Prometheus would scrape now."""
    found: dict[str, float] = {}
    for name, labels, value in SAMPLE.findall(Figures(Bucket(target), (DATABASE,)).get()):
        kind = re.search(r'kind="(.*?)"', labels)
        found[f"{name}/{kind[1]}" if kind else name] = float(value)
    return found


def alarms(target: Target) -> set[str]:
    """Return the figures that alert now."""
    return {name for name, value in figures(target).items() if name in ALARMS and ALARMS[name](value)}


def newest(target: Target) -> float:
    """Return when the newest good backup was finished, as the exporter has it."""
    return figures(target)["last_success_timestamp_seconds"]


def finished(made: Manifest) -> float:
    return datetime.fromisoformat(made.finished).timestamp()


@pytest.fixture
def fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fails:
    """Return what makes a backup as the CronJob does, which fails, and returns what is shown with the pod."""
    told = tmp_path / "told"
    monkeypatch.setattr(report, "TERMINATION_LOG", told)

    def run(config: Config) -> str:
        assert cli.back_up(config, Bucket(config.target), DATABASE, "backup") == 1
        return told.read_text()

    return run


@pytest.fixture
def drills(tmp_path: Path, drill_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Config, Path], int]:
    """Return what runs a drill as the CronJob does, with a private key, and returns its exit code."""

    def run(config: Config, key: Path) -> int:
        options = [f"--private-key={key}", f"--folder={drill_folder}"]
        with monkeypatch.context() as patch:
            alone(patch)
            return cli.main([f"--config={write(config, tmp_path)}", "drill", *options])

    return run


def good(target: Target) -> list[str]:
    return [entry.id for entry in catalog.entries(Bucket(target)) if entry.good]


@contextmanager
def at_part(monkeypatch: pytest.MonkeyPatch, number: int, then: Callable[[], Any]) -> Iterator[None]:
    """Let something happen just before a part of the dump is sent."""
    send = upload.Object.send

    def spy(made: Any, part: int, data: bytes) -> Any:
        if part == number and made.name.endswith("database.age"):
            then()
        return send(made, part, data)

    with monkeypatch.context() as patch:
        patch.setattr(upload.Object, "send", spy)
        yield


def test_the_server_is_killed_mid_upload(
    config: Config,
    own_gateway: Gateway,
    make_bucket: Callable[..., Target],
    fails: Fails,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mine = dataclasses.replace(config, target=make_bucket(own_gateway))
    first = back_up(mine)
    make_noise(config.database, 30)
    with at_part(monkeypatch, 3, own_gateway.kill):
        said = fails(mine)
    assert re.search(r"upload s3://.*database\.age \(part \d\): .*is the server up", said)
    assert alarms(mine.target) == {"bucket_up"}
    own_gateway.start()
    assert good(mine.target) == [first.id]
    assert newest(mine.target) == finished(first)
    # What it couldn't abort, pruning finds.
    left = Bucket(mine.target).stale_uploads(datetime.now(UTC) + timedelta(hours=1))
    assert len(left) == 1


def test_the_server_s_disk_is_full(
    config: Config, make_bucket: Callable[..., Target], fails: Fails, tmp_path: Path
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", disk], check=False)
    if mounted.returncode:
        pytest.skip("a small disk can't be mounted here")
    try:
        server = Gateway(disk / "s3")
        try:
            mine = dataclasses.replace(config, target=make_bucket(server))
            first = back_up(mine)
            make_noise(config.database, 40)
            assert re.search(r"(upload|finish) s3://.*database\.age", fails(mine))
            # What was sent was aborted, so that there is room for the report.
            assert alarms(mine.target) == {"report_success/backup"}
            assert good(mine.target) == [first.id]
            assert newest(mine.target) == finished(first)
            verify.check_stored(Bucket(mine.target), first)
        finally:
            server.kill()
    finally:
        subprocess.run(["umount", disk], check=True)


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"AWS_SECRET_ACCESS_KEY": "wrong"}, "SignatureDoesNotMatch.*correct the credentials"),
        ({"AWS_ACCESS_KEY_ID": "nobody"}, "InvalidAccessKeyId.*correct the credentials"),
        ({"AWS_SESSION_TOKEN": "of-yesterday"}, "InvalidToken.*renew the credentials"),
        ({"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}, "no credentials: set AWS_ACCESS_KEY_ID"),
    ],
)
def test_wrong_credentials(
    config: Config, variables: dict[str, str | None], said: str, fails: Fails, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = back_up(config)
    with monkeypatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value) if value else patch.delenv(name)
        assert re.search(f"upload s3://.*database.age: {said}", fails(config))
        assert alarms(config.target) == {"bucket_up"}
    # If the job's alone are wrong it can't report. The newest backup grows old, and Kubernetes knows that a Job failed.
    assert good(config.target) == [first.id]
    assert newest(config.target) == finished(first)


def test_a_bucket_that_isn_t_there(config: Config, fails: Fails) -> None:
    wrong = dataclasses.replace(config, target=dataclasses.replace(config.target, bucket="not-there"))
    assert re.search(r"s3://not-there/.*NoSuchBucket.*create it, or correct its name", fails(wrong))
    assert alarms(wrong.target) == {"bucket_up"}


def test_a_server_that_isn_t_there(config: Config, fails: Fails) -> None:
    target = dataclasses.replace(config.target, endpoint="http://127.0.0.1:9", attempts=1)
    assert "is the server up, is the endpoint right" in fails(dataclasses.replace(config, target=target))
    assert alarms(target) == {"bucket_up"}


def test_a_clock_that_is_wrong(config: Config, fails: Fails, monkeypatch: pytest.MonkeyPatch) -> None:
    import botocore.auth

    first = back_up(config)
    ahead = datetime.now(UTC) + timedelta(hours=2)
    with monkeypatch.context() as patch:
        patch.setattr(botocore.auth, "get_current_datetime", lambda **_: ahead.replace(tzinfo=None))
        assert re.search(r"RequestTimeTooSkewed.*this machine's clock", fails(config))
        assert alarms(config.target) == {"bucket_up"}
    assert good(config.target) == [first.id]


class Expired(BaseHTTPRequestHandler):
    """Answers as S3 does when a session token has expired. To versitygw, which gives none, any is an invalid one."""

    BODY = b"<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>"

    def answer(self) -> None:
        """Refuse."""
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(400)
        self.send_header("Content-Length", str(len(self.BODY)))
        self.end_headers()
        self.wfile.write(self.BODY)

    do_GET = do_PUT = do_POST = do_DELETE = answer  # noqa: N815  # what http.server calls

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


def test_an_expired_token(config: Config, fails: Fails, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", "of-yesterday")
    with ThreadingHTTPServer(("127.0.0.1", 0), Expired) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        target = dataclasses.replace(config.target, endpoint=f"http://127.0.0.1:{server.server_address[1]}")
        try:
            said = fails(dataclasses.replace(config, target=target))
            assert alarms(target) == {"bucket_up"}
        finally:
            server.shutdown()
            thread.join()
    assert re.search(r"upload s3://.*ExpiredToken \(The provided token has expired\): .*renew the credentials", said)


@pytest.mark.parametrize(("code", "said"), [("ExpiredToken", "renew the credentials"), ("Odd", "Odd")])
def test_what_a_server_says_is_explained(code: str, said: str) -> None:
    from botocore.exceptions import ClientError

    with pytest.raises(BackupError, match=f"upload it: {code} .why.*{said}"), s3("upload it"):
        raise ClientError({"Error": {"Code": code, "Message": f"why {code}"}}, "PutObject")


def damage(gateway: Gateway, target: Target, made: Manifest, how: Callable[[Path], Any]) -> None:
    how(gateway.file(target.bucket, f"{target.prefix}/{made.stream('database').segments[0].name}"))


def flip(file: Path) -> None:
    with file.open("r+b") as content:
        content.seek(file.stat().st_size // 2)
        byte = content.read(1)[0]
        content.seek(-1, os.SEEK_CUR)
        content.write(bytes([byte ^ 1]))


def cut(file: Path) -> None:
    os.truncate(file, file.stat().st_size - 100)


def databases() -> set[str]:
    with psycopg.connect(dbname="postgres") as server:
        return {row[0] for row in server.execute("SELECT datname FROM pg_database")}


def test_a_flipped_bit(config: Config, gateway: Gateway, key_file: Path, drills: Callable[[Config, Path], int]) -> None:
    make_noise(config.database, 8)
    made = back_up(config)
    damage(gateway, config.target, made, flip)
    bucket, keys = Bucket(config.target), crypt.identities(key_file)
    with pytest.raises(BackupError, match=r"database\.age: .*SHA-256 differs.*use another backup"):
        verify.check_stored(bucket, made)
    with pytest.raises(BackupError, match=r"database\.age: damaged .*use another backup"):
        verify.check_content(bucket, made, keys)
    before = databases()
    with pytest.raises(BackupError, match=r"database\.age: damaged"):
        restore.restore(bucket, made, keys, f"{config.database}_new")
    assert databases() == before
    # Sizes don't tell; the drill does.
    assert alarms(config.target) == set()
    assert drills(config, key_file) == 1
    assert alarms(config.target) == {"report_success/drill"}
    assert report.verified(bucket) == set()


def test_a_truncated_object(config: Config, gateway: Gateway, key_file: Path) -> None:
    made = back_up(config)
    damage(gateway, config.target, made, cut)
    (found,) = catalog.entries(Bucket(config.target))
    assert "database.age has" in found.problem
    assert alarms(config.target) == {"damaged"}
    with pytest.raises(BackupError, match="there is no good backup"):
        catalog.choose([found], "latest")
    # Cut off after it was chosen.
    with pytest.raises(BackupError, match=r"database\.age: has \d+ bytes, the manifest says"):
        verify.check_content(Bucket(config.target), made, crypt.identities(key_file))


def test_a_manifest_without_its_object(config: Config, key_file: Path) -> None:
    made = back_up(config)
    bucket = Bucket(config.target)
    bucket.delete([made.stream("globals").segments[0].name])
    (found,) = catalog.entries(bucket)
    assert "globals.age is missing" in found.problem
    assert alarms(config.target) == {"damaged"}
    with pytest.raises(BackupError, match=r"globals\.age: NoSuchKey.*the object isn't there"):
        verify.check_content(bucket, made, crypt.identities(key_file))


def test_objects_without_a_manifest(config: Config) -> None:
    made = back_up(config)
    bucket = Bucket(config.target)
    bucket.delete([f"backups/{made.id}/manifest.json"])
    (found,) = catalog.entries(bucket)
    assert found.problem == "no manifest: it never finished"
    # As if it had never been: the newest good backup is an older one, or there is none.
    assert figures(config.target)["good"] == 0


def test_the_wrong_private_key(config: Config, tmp_path: Path, drills: Callable[[Config, Path], int]) -> None:
    made = back_up(config)
    other = tmp_path / "other"
    other.write_text(f"{pyrage.x25519.Identity.generate()}\n")
    with pytest.raises(BackupError, match=r"database\.age: the private key is not one that it was encrypted to"):
        verify.check_content(Bucket(config.target), made, crypt.identities(other))
    assert drills(config, other) == 1
    assert alarms(config.target) == {"report_success/drill"}
    assert good(config.target) == [made.id]


@pytest.mark.parametrize("text", ["", "# nothing\n", "age1abc\n", None])
def test_a_file_without_a_private_key(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "key"
    if text is not None:
        file.write_text(text)
    with pytest.raises(BackupError, match=f"private key {file}"):
        crypt.identities(file)


def test_two_jobs_at_once(config: Config, fails: Fails, monkeypatch: pytest.MonkeyPatch) -> None:
    make_noise(config.database, 8)
    said: list[str] = []

    def second() -> None:
        said.append(fails(config))
        said.extend(alarms(config.target))

    def meanwhile() -> None:
        other = threading.Thread(target=second)
        other.start()
        other.join(60)

    with at_part(monkeypatch, 1, meanwhile):
        made = back_up(config)
    words = f"backup: another backup of {config.database} is running: wait for it, or end its job"
    assert said == [words, "report_success/backup"]
    assert good(config.target) == [made.id]
    # Nobody holds the lock any more.
    assert back_up(config).id in good(config.target)


def test_the_database_s_connection_is_lost(config: Config, fails: Fails, monkeypatch: pytest.MonkeyPatch) -> None:
    first = back_up(config)
    make_noise(config.database, 30)

    def lose() -> None:
        with psycopg.connect(dbname="postgres", autocommit=True) as server:
            query = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'pg_dump'"
            assert server.execute(query).fetchone() == (1,)

    with at_part(monkeypatch, 2, lose):
        said = fails(config)
    assert re.search(r"pg_dump ended with 1: .*(terminating connection|server closed the connection)", said)
    bucket = Bucket(config.target)
    assert [entry.id for entry in catalog.entries(bucket)] == good(config.target) == [first.id]
    assert alarms(config.target) == {"report_success/backup"}
    assert newest(config.target) == finished(first)
    assert bucket.stale_uploads(datetime.now(UTC) + timedelta(hours=1)) == []


def test_the_database_server_dies(
    target: Target, keys: tuple[str, str], fails: Fails, monkeypatch: pytest.MonkeyPatch, postgres: Server
) -> None:
    """As in a failover."""
    del postgres
    server = Server(FAST)
    try:
        for name, value in environment(server).items():
            monkeypatch.setenv(name, value)
        make_noise("postgres", 30)
        config = Config(target, "postgres", compression="1", recipients=(keys[0],), tables=("noise",))
        with at_part(monkeypatch, 2, server.stop):
            assert "pg_dump ended with 1: " in fails(config)
    finally:
        server.start()
        server.remove()
    bucket = Bucket(target)
    assert bucket.sizes("backups/") == {}
    assert alarms(target) == {"report_success/backup"}
    assert bucket.stale_uploads(datetime.now(UTC) + timedelta(hours=1)) == []


def test_a_target_that_takes_nothing_for_long_does_not_end_the_dump(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server would take pg_dump, which can't go on writing and so doesn't read, for a client that is gone."""
    make_noise(config.database, 30)
    with psycopg.connect(dbname=config.database) as server:
        server.execute(sql.SQL("ALTER DATABASE {} SET tcp_user_timeout = '1s'").format(sql.Identifier(config.database)))
    with at_part(monkeypatch, 2, lambda: time.sleep(6)):
        back_up(config)
    assert len(good(config.target)) == 1


def test_a_job_that_is_told_to_stop_clears_up(config: Config, tmp_path: Path) -> None:
    """As when its pod is evicted."""
    make_noise(config.database, 30)
    slow = dataclasses.replace(config, target=dataclasses.replace(config.target, bytes_per_second=2 << 20))
    command = [sys.executable, "-m", "exchange_backup", f"--config={write(slow, tmp_path)}", "backup"]
    told = tmp_path / "termination-log"
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "TERMINATION_LOG": str(told)}
    bucket = Bucket(config.target)
    with subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True) as job:
        deadline = time.monotonic() + 60
        while not bucket.stale_uploads(datetime.now(UTC) + timedelta(hours=1)):
            assert job.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        job.send_signal(signal.SIGTERM)
        _, said = job.communicate(timeout=60)
    assert job.returncode == 1
    assert "stopped by SIGTERM: the pod was evicted" in said
    assert "stopped by SIGTERM" in told.read_text()
    assert bucket.stale_uploads(datetime.now(UTC) + timedelta(hours=1)) == []
    assert good(config.target) == []
    assert alarms(config.target) == {"report_success/backup"}


def test_an_upload_that_somebody_else_aborts(target: Target) -> None:
    bucket = Bucket(target)
    made = upload.Upload(bucket, "stream", upload.Pace(0))
    made.write(bytes(6 << 20))
    ((key, identity),) = bucket.stale_uploads(datetime.now(UTC) + timedelta(hours=1))
    assert key == "prod/stream"
    deadline = time.monotonic() + 30
    while not bucket.client.list_parts(Bucket=target.bucket, Key=key, UploadId=identity).get("Parts"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    bucket.abort(key, identity)
    with pytest.raises(BackupError, match="the multipart upload was aborted by somebody else"):
        made.finish()
    made.abort()
    assert bucket.sizes("") == {}


def test_nothing_is_whole_before_the_dump_has_ended_well(config: Config) -> None:
    """A program that writes much and then fails."""
    argv = ["sh", "-c", "head -c 7000000 /dev/zero; echo it broke >&2; exit 3"]
    job = Job(config, Bucket(config.target), datetime.now(UTC))
    with pytest.raises(BackupError, match="sh ended with 3: it broke"):
        job.store("database", "pg_dump", argv)
    assert Bucket(config.target).sizes("") == {}


def test_a_failed_dump_doesn_t_wait_for_the_count(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    with psycopg.connect(dbname=config.database) as server:
        server.execute("CREATE VIEW slow AS SELECT FROM account WHERE pg_sleep(600) IS NOT NULL")
    monkeypatch.setattr(Job, "store", lambda *_: (_ for _ in ()).throw(BackupError("it broke")))
    with pytest.raises(BackupError, match="it broke"):
        back_up(dataclasses.replace(config, tables=("account", "slow")))
    with psycopg.connect(dbname=config.database, autocommit=True) as server:
        left = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'exchange-backup'"
        deadline = time.monotonic() + 30
        while server.execute(left).fetchone() != (0,):
            assert time.monotonic() < deadline
            time.sleep(0.05)
