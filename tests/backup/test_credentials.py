"""Who may do what: the job that makes backups needs to put, and with what it has nobody can do more."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError
from exchange_backup import catalog, report
from exchange_backup.bucket import Bucket
from exchange_backup.cli import main
from exchange_backup.config import Config, Target
from exchange_backup.errors import BackupError

from backup.conftest import make_noise, write
from backup.gateway import ROOT, Gateway

Become = Callable[[tuple[str, str]], None]


@pytest.fixture
def become(monkeypatch: pytest.MonkeyPatch) -> Become:
    """Return a function that changes this process' credentials."""

    def change(credentials: tuple[str, str]) -> None:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", credentials[0])
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", credentials[1])

    return change


@pytest.fixture
def putter(gateway: Gateway, target: Target) -> tuple[str, str]:
    """Return a user who may put and nothing else."""
    user = gateway.user(f"putter-{target.bucket}")
    gateway.allow(target.bucket, {user[0]: {"*": ["PutObject"]}})
    return user


def test_put_only_credentials_make_a_backup(
    config: Config, putter: tuple[str, str], become: Become, tmp_path: Any
) -> None:
    make_noise(config.database, 12)
    become(putter)
    assert main([f"--config={write(config, tmp_path)}", "backup"]) == 0
    become(ROOT)
    (found,) = catalog.entries(Bucket(config.target))
    assert found.good
    (told,) = report.read(Bucket(config.target), "backup")
    assert told.ok
    assert told.backup == found.id


@pytest.mark.parametrize(
    "attempt",
    [
        lambda client, bucket, key: client.get_object(Bucket=bucket, Key=key),
        lambda client, bucket, key: client.head_object(Bucket=bucket, Key=key),
        lambda client, bucket, _: client.list_objects_v2(Bucket=bucket),
        lambda client, bucket, _: client.list_object_versions(Bucket=bucket),
        lambda client, bucket, _: client.list_multipart_uploads(Bucket=bucket),
        lambda client, bucket, key: client.delete_object(Bucket=bucket, Key=key),
        lambda client, bucket, key: client.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key}]}),
        lambda client, bucket, key: client.copy_object(Bucket=bucket, Key="copy", CopySource=f"{bucket}/{key}"),
        lambda client, bucket, _: client.get_bucket_policy(Bucket=bucket),
        lambda client, bucket, _: client.put_bucket_policy(Bucket=bucket, Policy="{}"),
        lambda client, bucket, _: client.put_bucket_versioning(
            Bucket=bucket, VersioningConfiguration={"Status": "Suspended"}
        ),
        lambda client, bucket, _: client.delete_bucket(Bucket=bucket),
    ],
)
def test_put_only_credentials_can_t_do_anything_else(
    gateway: Gateway, target: Target, putter: tuple[str, str], attempt: Callable[..., Any]
) -> None:
    client = gateway.client(putter)
    key = "prod/backups/some/database.age"
    client.put_object(Bucket=target.bucket, Key=key, Body=b"secret")
    try:
        # Deleting several answers 200 and tells of each.
        said = [error["Code"] for error in attempt(client, target.bucket, key).get("Errors", ["nothing"])]
    except ClientError as error:
        said = [error.response["Error"]["Code"]]
    assert said in (["AccessDenied"], ["403"])
    assert gateway.file(target.bucket, key).read_bytes() == b"secret"


def test_with_versioning_an_overwritten_backup_isn_t_lost(
    gateway: Gateway, target: Target, putter: tuple[str, str]
) -> None:
    root = gateway.client()
    root.put_bucket_versioning(Bucket=target.bucket, VersioningConfiguration={"Status": "Enabled"})
    assert Bucket(target).overwriting_is_prevented()
    client = gateway.client(putter)
    first = client.put_object(Bucket=target.bucket, Key="prod/x", Body=b"good")["VersionId"]
    client.put_object(Bucket=target.bucket, Key="prod/x", Body=b"evil")
    assert root.get_object(Bucket=target.bucket, Key="prod/x", VersionId=first)["Body"].read() == b"good"


def test_a_locked_backup_can_t_be_destroyed_by_who_prunes(
    config: Config, gateway: Gateway, make_bucket: Callable[..., Target], tmp_path: Any
) -> None:
    plain = make_bucket(ObjectLockEnabledForBucket=True)
    target = dataclasses.replace(plain, lock_mode="COMPLIANCE", lock_days=1)
    assert main([f"--config={write(dataclasses.replace(config, target=target), tmp_path)}", "backup"]) == 0
    bucket = Bucket(target)
    (found,) = catalog.entries(bucket)
    versions = gateway.client().list_object_versions(Bucket=target.bucket, Prefix="prod/backups/")["Versions"]
    assert len(versions) == len(found.objects) == 3
    for version in versions:
        with pytest.raises(ClientError):
            gateway.client().delete_object(
                Bucket=target.bucket, Key=version["Key"], VersionId=version["VersionId"], BypassGovernanceRetention=True
            )


def test_a_lock_that_the_bucket_doesn_t_have_is_told(config: Config) -> None:
    target = dataclasses.replace(config.target, lock_mode="GOVERNANCE", lock_days=1)
    with pytest.raises(BackupError, match="does the bucket have object lock"):
        Bucket(target).put("x", b"{}", protect=True)


def test_a_drill_s_credentials_read_and_report(
    config: Config, gateway: Gateway, become: Become, tmp_path: Any, key_file: Any
) -> None:
    """They can neither put a backup nor delete anything."""
    file = write(config, tmp_path)
    assert main([f"--config={file}", "backup"]) == 0
    user = gateway.user(f"drill-{config.target.bucket}")
    rights = {"": ["ListBucket"], "*": ["GetObject"], "prod/reports/*": ["PutObject"]}
    gateway.allow(config.target.bucket, {user[0]: rights})
    become(user)
    bucket = Bucket(config.target)
    assert main([f"--config={file}", "verify", f"--private-key={key_file}"]) == 0
    report.write(bucket, report.Report("drill", ok=True, finished="2026-01-01T03:00:00+00:00", seconds=1))
    with pytest.raises(BackupError, match=r"AccessDenied.*these credentials may not do that"):
        bucket.put("backups/x/manifest.json", b"{}", protect=True)
    with pytest.raises(BackupError, match="AccessDenied"):
        bucket.delete(bucket.sizes("backups/"))
    assert len(bucket.sizes("backups/")) == 3
