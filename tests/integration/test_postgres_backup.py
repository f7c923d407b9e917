"""Backups of a live platform: made at once, proved by a drill, restored beside, swapped in and back, nothing lost."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError
from cluster import s3
from cluster.kind import CLUSTERS
from conftest import KUBECONFIG, Cluster, Run, eventually, no_secret_in, run_playbook
from exchange_backup import catalog, report
from exchange_backup.bucket import Bucket
from exchange_backup.config import Target
from kubernetes.client import BatchV1Api, CoreV1Api
from test_postgres import APP, DATABASE, Client, pods, primary, run, whole

BEFORE = "exchange_before_"
# A dump of a table of so much that doesn't compress, sent so slowly, takes a minute.
SLOW_MIB, SLOW_BYTES_PER_SECOND = 64, 1 << 20
UPLOADS = "test-uploads"


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
        user = target["credentials"][purpose]
        return s3.client_of(endpoint, user["access_key"], user["secret_key"])

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


def superuser(cluster: Cluster, sql: str) -> str:
    """Return what a statement yields, run as the superuser on the primary."""
    api = cast("Any", CoreV1Api)(cluster.client.client)
    command = ["psql", "-XAtq", "-U", "postgres", "-d", "exchange", "-c", sql]
    code, said = run(api, DATABASE, primary(cluster), command)
    assert code == 0, said
    return said.strip()


@contextmanager
def readable(variables: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    """Reach the bucket as drills and exporters do, with their rights."""
    (target,) = variables["postgres_backup_targets"]
    (kind,) = [one for one in CLUSTERS.values() if one.kubeconfig == KUBECONFIG]
    with s3.forwarded(kind) as endpoint, monkeypatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", target["credentials"]["read"]["access_key"])
        patch.setenv("AWS_SECRET_ACCESS_KEY", target["credentials"]["read"]["secret_key"])
        yield Bucket(Target(target["bucket"], endpoint=endpoint, region=target["region"], path_style=True))


@pytest.fixture(scope="module")
def slow(cluster: Cluster, variables: dict[str, Any]) -> Iterator[None]:
    """Let backups take a minute, and take them from the primary, whose end is noticed."""
    (target,) = variables["postgres_backup_targets"]
    owner(cluster, "DROP TABLE IF EXISTS noise")
    owner(
        cluster,
        "CREATE TABLE noise AS SELECT i, (SELECT string_agg(sha512((i || '-' || j)::bytea), ''::bytea) FROM "  # noqa: S608
        f"generate_series(1, 16384) j) AS data FROM generate_series(1, {SLOW_MIB}) i",
    )
    asked = {
        "postgres_backup_targets": [{**target, "bytes_per_second": SLOW_BYTES_PER_SECOND}],
        "postgres_backup_from_replica": False,
    }
    done = run_playbook("playbooks/backup.yml", "-e", json.dumps(asked))
    assert done.code == 0, done.output
    yield
    owner(cluster, "DROP TABLE noise")
    again = run_playbook("playbooks/backup.yml")
    assert again.code == 0, again.output


@pytest.mark.campaign
@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize(
    ("fault", "said"), [("failover", "pg_dump ended with 1: "), ("eviction", "stopped by SIGTERM: the pod was evicted")]
)
def test_a_backup_that_is_interrupted_is_made_anew(
    cluster: Cluster, variables: dict[str, Any], fault: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the Job's own next try. The first ends with a clear error, a report that alerts, and nothing that counts."""
    eventually("three members", lambda: whole(cluster))
    core, batch = (cast("Any", kind)(cluster.client.client) for kind in (CoreV1Api, BatchV1Api))
    (name,) = [target["name"] for target in variables["postgres_backup_targets"]]
    job, begun = f"backup-{name}-{fault}", datetime.now(UTC).replace(microsecond=0)
    with readable(variables, monkeypatch) as bucket:
        before = {entry.id: entry.good for entry in catalog.entries(bucket)}
    (cronjob,) = [
        item
        for item in cluster.items("CronJob", "batch/v1", namespace=DATABASE)
        if item["metadata"]["name"] == f"backup-{name}"
    ]
    metadata = {"name": job, "labels": cronjob["metadata"]["labels"]}
    batch.create_namespaced_job(DATABASE, {"metadata": metadata, "spec": cronjob["spec"]["jobTemplate"]["spec"]})
    try:
        dumping = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pg_dump'"
        eventually("the dump", lambda: superuser(cluster, dumping) == "1", 180)
        if fault == "failover":
            was = primary(cluster)
            core.delete_namespaced_pod(was, DATABASE)
            eventually("another primary", lambda: primary(cluster) not in {"", was})
        else:
            (pod,) = cluster.items("Pod", namespace=DATABASE, label_selector=f"batch.kubernetes.io/job-name={job}")
            evicted = pod["metadata"]["name"]
            core.create_namespaced_pod_eviction(evicted, DATABASE, {"metadata": {"name": evicted}})

        def reports() -> list[report.Report]:
            with readable(variables, monkeypatch) as bucket:
                return [one for one in report.read(bucket, "backup") if one.at >= begun]

        first = eventually("the first try's report", reports, 120)[0]
        assert not first.ok
        assert said in first.message
        eventually("another try that succeeds", lambda: batch.read_namespaced_job(job, DATABASE).status.succeeded, 600)
        assert reports()[-1].ok
        with readable(variables, monkeypatch) as bucket:
            after = {entry.id: entry.good for entry in catalog.entries(bucket)}
        assert before.items() <= after.items()
        assert {one: after[one] for one in after.keys() - before.keys()} == {reports()[-1].backup: True}
    finally:
        batch.delete_namespaced_job(job, DATABASE, propagation_policy="Foreground")
    eventually("three members", lambda: whole(cluster))


@pytest.fixture
def uploads(cluster: Cluster) -> Iterator[dict[str, Any]]:
    """Return what an inventory says of a claim with two files, which a pod of the application's namespace uses."""
    core = cast("Any", CoreV1Api)(cluster.client.client)
    spec = {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "standard",
        "resources": {"requests": {"storage": "1Mi"}},
    }
    core.create_namespaced_persistent_volume_claim(APP, {"metadata": {"name": UPLOADS}, "spec": spec})
    container = {
        "name": "app",
        "image": pods(cluster)[0]["spec"]["containers"][0]["image"],
        "command": ["sleep", "3600"],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "uploads", "mountPath": "/uploads"}],
    }
    user = {
        "runAsNonRoot": True,
        "runAsUser": 10001,
        "runAsGroup": 10001,
        "fsGroup": 10001,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    pod = {
        "automountServiceAccountToken": False,
        "securityContext": user,
        "containers": [container],
        "volumes": [{"name": "uploads", "persistentVolumeClaim": {"claimName": UPLOADS}}],
    }
    core.create_namespaced_pod(APP, {"metadata": {"name": UPLOADS, "labels": {"app": UPLOADS}}, "spec": pod})
    eventually("the pod runs", lambda: core.read_namespaced_pod(UPLOADS, APP).status.phase == "Running")
    yield {"postgres_backup_media": [{"name": "media", "claim": UPLOADS, "pod_labels": {"app": UPLOADS}}]}
    for kind, version in (
        ("CronJob", "batch/v1"),
        ("ConfigMap", "v1"),
        ("Secret", "v1"),
        ("ServiceAccount", "v1"),
        ("NetworkPolicy", "networking.k8s.io/v1"),
    ):
        resource = cluster.kind(kind, version)
        for item in cluster.items(kind, version, namespace=APP, label_selector="app.kubernetes.io/name=backup-media"):
            resource.delete(item["metadata"]["name"], APP)
    core.delete_namespaced_pod(UPLOADS, APP, grace_period_seconds=0)
    core.delete_namespaced_persistent_volume_claim(UPLOADS, APP)
    assert run_playbook("playbooks/backup.yml", "-e", "platform_prune=true").code == 0


@pytest.mark.campaign
def test_uploads_are_stored_proved_and_brought_back(cluster: Cluster, uploads: dict[str, Any]) -> None:
    core = cast("Any", CoreV1Api)(cluster.client.client)

    def shell(words: str) -> str:
        code, said = run(core, APP, UPLOADS, ["sh", "-c", f"cd /uploads && {words}"])
        assert code == 0, said
        return said.strip()

    shell("mkdir -p a && head -c 100000 /dev/urandom > a/one && echo two > two")
    before = shell("sha256sum a/one")
    made = run_playbook("playbooks/backup.yml", "-e", json.dumps({**uploads, "backup_now": ["media", "media-drill"]}))
    assert made.code == 0, made.output
    assert "can be read: 2 files" in made.output
    no_secret_in(made.output, cluster)
    again = run_playbook("playbooks/backup.yml", "-e", json.dumps(uploads))
    assert (again.code, again.changed) == (0, 0), again.output
    shell("rm a/one && echo changed > two")
    asked = {**uploads, "restore_backup": "none", "restore_media": True}
    back = run_playbook("playbooks/restore.yml", "-e", json.dumps(asked))
    assert back.code == 0, back.output
    assert "media: 1 files are back, 0 were there, 1 are others, the backup's are in restored-" in back.output
    assert shell("sha256sum a/one") == before
    assert shell("cat two") == "changed"
    assert shell("cat restored-*/two") == "two"
    for kind, version in (("Job", "batch/v1"), ("Secret", "v1"), ("ServiceAccount", "v1")):
        names = {item["metadata"]["name"] for item in cluster.items(kind, version, namespace=APP)}
        assert "restore-media" not in names, kind
