"""Backups of a live platform: made at once, proved by a drill, restored beside, swapped in and back, nothing lost."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, cast

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from cluster import s3
from cluster.kind import CLUSTERS
from conftest import KUBECONFIG, Cluster, Run, no_secret_in, run_playbook
from kubernetes.client import CoreV1Api
from test_postgres import APP, DATABASE, Client, primary, run

BEFORE = "exchange_before_"


def restore(**variables: Any) -> Run:
    return run_playbook("playbooks/restore.yml", "-e", json.dumps(variables))


def owner(cluster: Cluster, sql: str, database: str = "exchange") -> str:
    """Return what a statement yields, run as the application's owner."""
    api = cast("Any", CoreV1Api)(cluster.client.client)
    command = ["psql", "-XAtq", "-U", "postgres", "-d", database, "-c", "SET ROLE exchange", "-c", sql]
    code, said = run(api, DATABASE, primary(cluster), command)
    assert code == 0, said
    return said.strip()


def databases(cluster: Cluster) -> set[str]:
    return set(owner(cluster, "SELECT datname FROM pg_database WHERE datname LIKE 'exchange%'").splitlines())


@pytest.fixture(scope="module")
def backup(cluster: Cluster) -> Run:
    """Return the run that made a backup, in which there is a table that is gone now, and proved it."""
    owner(cluster, "DROP TABLE IF EXISTS mislaid")
    owner(cluster, "CREATE TABLE mislaid AS SELECT generate_series(1, 1000) AS id")
    done = run_playbook("playbooks/backup.yml", "-e", '{"backup_now": ["backup", "drill", "prune"]}')
    owner(cluster, "DROP TABLE mislaid")
    return done


@pytest.fixture(scope="module")
def restored(cluster: Cluster, backup: Run) -> Iterator[str]:
    """Return a database that is restored beside the live one."""
    assert backup.code == 0, backup.output
    done = restore(restore_database="exchange_new")
    assert done.code == 0, done.output
    yield "exchange_new"
    for name in databases(cluster) - {"exchange"}:
        owner(cluster, f'DROP DATABASE "{name}"', "postgres")


def test_a_backup_made_at_once_restores(backup: Run, cluster: Cluster) -> None:
    assert backup.code == 0, backup.output
    assert "restores: " in backup.output
    assert "backups kept" in backup.output
    no_secret_in(backup.output, cluster)


def test_credentials_that_put_can_do_nothing_else(backup: Run, variables: dict[str, Any]) -> None:
    assert backup.code == 0, backup.output
    (target,) = variables["postgres_backup_targets"]
    (kind,) = [one for one in CLUSTERS.values() if one.kubeconfig == KUBECONFIG]

    def client(endpoint: str, purpose: str) -> Any:
        return boto3.session.Session().client(
            "s3",
            endpoint_url=endpoint,
            region_name=target["region"],
            aws_access_key_id=target["credentials"][purpose]["access_key"],
            aws_secret_access_key=target["credentials"][purpose]["secret_key"],
            config=Config(s3={"addressing_style": "path"}),
        )

    with s3.forwarded(kind) as endpoint:
        key = client(endpoint, "read").list_objects_v2(Bucket=target["bucket"])["Contents"][0]["Key"]
        putter = client(endpoint, "put")
        for action, arguments in (
            (putter.list_objects_v2, {}),
            (putter.get_object, {"Key": key}),
            (putter.delete_object, {"Key": key}),
        ):
            with pytest.raises(ClientError, match="AccessDenied"):
                action(Bucket=target["bucket"], **arguments)


def test_what_is_restored_stands_beside_the_live_database(cluster: Cluster, restored: str) -> None:
    assert owner(cluster, "SELECT count(*) FROM mislaid", restored) == "1000"
    assert owner(cluster, "SELECT to_regclass('mislaid') IS NULL") == "t"
    # Neither the login nor anything else of the restore is left.
    assert owner(cluster, "SELECT count(*) FROM pg_roles WHERE rolname = 'restore'") == "0"
    for kind, version in (("Job", "batch/v1"), ("Secret", "v1"), ("ServiceAccount", "v1")):
        names = {item["metadata"]["name"] for item in cluster.items(kind, version, namespace=DATABASE)}
        assert not {name for name in names if name.startswith("restore")}, kind


def test_it_takes_the_live_ones_place_and_gives_it_back(cluster: Cluster, restored: str) -> None:
    client = Client(cluster)
    try:
        there = restore(restore_backup="none", restore_database=restored, restore_swap="exchange")
        assert there.code == 0, there.output
        assert "0 violations of" in there.output
        assert client.value("SELECT count(*) FROM mislaid") == "1000"
        (former,) = [name for name in databases(cluster) if name.startswith(BEFORE)]
        again = run_playbook("site.yml")
        assert (again.code, again.changed) == (0, 0), again.output
        back = restore(restore_backup="none", restore_database=former, restore_swap="exchange")
        assert back.code == 0, back.output
        assert client.value("SELECT to_regclass('mislaid') IS NULL") == "t"
    finally:
        client.close()


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"restore_swap": "yes"}, "restore_swap is 'yes': expected nothing, or exchange"),
        ({"restore_database": "exchange"}, "restore_database is 'exchange': expected a name other than exchange"),
    ],
)
def test_what_is_refused(cluster: Cluster, asked: dict[str, Any], said: str) -> None:
    before = cluster.versions([DATABASE, APP])
    refused = restore(**asked)
    assert refused.code != 0
    assert "Nothing has been done." in refused.output
    assert said in refused.output
    assert cluster.versions([DATABASE, APP]) == before


def test_a_restore_that_fails_leaves_nothing(cluster: Cluster, backup: Run) -> None:
    assert backup.code == 0, backup.output
    before = databases(cluster)
    stranger = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX"
    failed = restore(restore_private_key=stranger)
    assert failed.code != 0
    assert "Job restore failed" in failed.output
    assert stranger not in failed.output
    assert databases(cluster) == before
    assert owner(cluster, "SELECT count(*) FROM pg_roles WHERE rolname = 'restore'") == "0"


def moment(cluster: Cluster) -> str:
    return owner(cluster, "SET timezone = 'UTC'; SELECT clock_timestamp()")


@pytest.mark.campaign
def test_a_moment_comes_back(cluster: Cluster) -> None:
    on = {"postgres_archive_target": "{{ kind_archive_target }}"}
    switched = run_playbook("playbooks/database.yml", "-e", json.dumps(on))
    assert switched.code == 0, switched.output
    no_secret_in(switched.output, cluster)
    again = run_playbook("playbooks/database.yml", "-e", json.dumps(on))
    assert (again.code, again.changed) == (0, 0), again.output
    owner(cluster, "CREATE TABLE marks AS SELECT 'before' AS mark")
    try:
        between = moment(cluster)
        owner(cluster, "INSERT INTO marks VALUES ('after')")
        early = restore(restore_to="2020-01-01 00:00:00+00", **on)
        assert early.code != 0
        assert "restore_to is '2020-01-01 00:00:00+00': expected a moment after a base backup ended" in early.output
        done = restore(restore_to=between, restore_database="exchange_then", **on)
        assert done.code == 0, done.output
        no_secret_in(done.output, cluster)
        assert owner(cluster, "SELECT string_agg(mark, ' ') FROM marks", "exchange_then") == "before"
        assert owner(cluster, "SELECT string_agg(mark, ' ' ORDER BY mark) FROM marks") == "after before"
        assert not {
            item["metadata"]["name"] for item in cluster.items("StatefulSet", "apps/v1", namespace=DATABASE)
        } & {"postgres-restored"}
    finally:
        owner(cluster, "DROP TABLE marks")
        if "exchange_then" in databases(cluster):
            owner(cluster, "DROP DATABASE exchange_then", "postgres")
        run_playbook("playbooks/database.yml", "-e", "platform_prune=true")
