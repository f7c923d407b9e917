"""The database on a live cluster: who gets in, and what survives pods, scaling, parameters and a new revision."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import yaml
from conftest import PROJECT, Cluster, eventually, no_secret_in, run_playbook
from kubernetes.client import CoreV1Api
from kubernetes.stream import stream

DATABASE, APP = "exchange-database", "exchange"
PLAYBOOK = "playbooks/database.yml"
LABELS = "app.kubernetes.io/component=database"
CLIENT = "database-test-client"


class Client:
    """A pod of the application's namespace that runs psql as the application would."""

    def __init__(self, cluster: Cluster) -> None:
        """Make the pod and wait until it runs."""
        self.cluster = cluster
        # Objects are given as the API takes them, not as the client's classes.
        self.api: Any = cast("Any", CoreV1Api)(cluster.client.client)
        secret = self.api.read_namespaced_secret("postgres-app", DATABASE)
        self.api.create_namespaced_secret(APP, {"metadata": {"name": CLIENT}, "data": secret.data, "type": "Opaque"})
        image = pods(cluster)[0]["spec"]["containers"][0]["image"]
        variables = {"PGUSER": "username", "PGPASSWORD": "password", "PGDATABASE": "database"}
        self.api.create_namespaced_pod(
            APP,
            {
                "metadata": {"name": CLIENT, "labels": {"app.kubernetes.io/part-of": "cryptoexchange"}},
                "spec": {
                    "automountServiceAccountToken": False,
                    "securityContext": {
                        "runAsNonRoot": True,
                        "runAsUser": 999,
                        "fsGroup": 999,
                        "seccompProfile": {"type": "RuntimeDefault"},
                    },
                    "containers": [
                        {
                            "name": "psql",
                            "image": image,
                            "command": ["sleep", "3600"],
                            "securityContext": {
                                "allowPrivilegeEscalation": False,
                                "readOnlyRootFilesystem": True,
                                "capabilities": {"drop": ["ALL"]},
                            },
                            "env": [
                                {"name": "PGHOST", "value": f"postgres-rw.{DATABASE}.svc"},
                                {"name": "PGSSLMODE", "value": "verify-full"},
                                {"name": "PGSSLROOTCERT", "value": "/secret/ca.crt"},
                                {"name": "PGCONNECT_TIMEOUT", "value": "3"},
                                *(
                                    {"name": name, "valueFrom": {"secretKeyRef": {"name": CLIENT, "key": key}}}
                                    for name, key in variables.items()
                                ),
                            ],
                            "volumeMounts": [{"name": "secret", "mountPath": "/secret"}],
                        }
                    ],
                    "volumes": [{"name": "secret", "secret": {"secretName": CLIENT}}],
                },
            },
        )
        eventually("the client runs", lambda: self.api.read_namespaced_pod(CLIENT, APP).status.phase == "Running")

    def close(self) -> None:
        """Remove the pod and what it read."""
        self.api.delete_namespaced_pod(CLIENT, APP, grace_period_seconds=0)
        self.api.delete_namespaced_secret(CLIENT, APP)

    def psql(self, sql: str, *arguments: str) -> tuple[int, str]:
        """Return psql's exit code and output."""
        return run(self.api, APP, CLIENT, ["psql", "-XAtq", "-c", sql, *arguments])

    def value(self, sql: str) -> str:
        """Return the one value that a query yields; the database may be switching over."""
        return str(eventually(sql, lambda: (found := self.psql(sql))[0] == 0 and (found[1].strip(),), 60)[0])


def run(api: Any, namespace: str, pod: str, command: list[str]) -> tuple[int, str]:
    """Run a command in a pod and return its exit code and output."""
    # The API has no default: a member that archives has a second container.
    where = {"container": "postgres"} if namespace == DATABASE else {}
    connected = stream(
        api.connect_get_namespaced_pod_exec, pod, namespace, command=command, stdout=True, stderr=True,
        _preload_content=False, **where,
    )  # fmt: skip
    connected.run_forever(timeout=60)
    return connected.returncode, connected.read_all()


def pods(cluster: Cluster) -> list[dict[str, Any]]:
    """Return the members' pods that aren't being deleted, by name."""
    found = cluster.items("Pod", namespace=DATABASE, label_selector=LABELS)
    return sorted((p for p in found if not p["metadata"].get("deletionTimestamp")), key=lambda p: p["metadata"]["name"])


def said(pod: dict[str, Any]) -> dict[str, Any]:
    """Return what Patroni says of a member."""
    status: dict[str, Any] = json.loads((pod["metadata"].get("annotations") or {}).get("status", "{}"))
    return status


def primary(cluster: Cluster) -> str:
    """Return the name of the one primary, or nothing."""
    names = [p["metadata"]["name"] for p in pods(cluster) if p["metadata"]["labels"].get("role") == "primary"]
    return names[0] if len(names) == 1 else ""


def whole(cluster: Cluster, members: int = 3) -> bool:
    """Say whether there is a primary and every other member streams from it."""
    ready = [
        pod
        for pod in pods(cluster)
        if {"type": "Ready", "status": "True"}.items()
        <= {k: v for c in pod["status"].get("conditions") or [] if c["type"] == "Ready" for k, v in c.items()}.items()
    ]
    streaming = [pod for pod in ready if said(pod).get("replication_state") == "streaming"]
    return len(ready) == members and len(streaming) == members - 1 and bool(primary(cluster))


def uids(cluster: Cluster) -> dict[str, str]:
    """Return each member's pod by its UID."""
    return {pod["metadata"]["name"]: pod["metadata"]["uid"] for pod in pods(cluster)}


@pytest.fixture(scope="module")
def client(cluster: Cluster) -> Iterator[Client]:
    """Return a client with a table of its own."""
    client = Client(cluster)
    client.value("CREATE TABLE IF NOT EXISTS kept (id bigserial PRIMARY KEY)")
    yield client
    client.value("DROP TABLE kept")
    client.close()


@pytest.fixture
def row(cluster: Cluster, client: Client) -> Iterator[str]:
    """Write a row before the test, and find it afterwards."""
    eventually("three members", lambda: whole(cluster))
    written = client.value("INSERT INTO kept DEFAULT VALUES RETURNING id")
    yield written
    eventually("three members again", lambda: whole(cluster))
    assert client.value(f"SELECT count(*) FROM kept WHERE id = {written}") == "1"  # noqa: S608  (a number of ours)


def test_the_application_acts_as_the_owner(client: Client) -> None:
    assert client.value("SELECT session_user || ' ' || current_user || ' ' || current_database()") in {
        "exchange_a exchange exchange",
        "exchange_b exchange exchange",
    }
    assert client.value("SELECT tableowner FROM pg_tables WHERE tablename = 'kept'") == "exchange"


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["-d", "sslmode=disable"], "no pg_hba.conf entry|no encryption"),
        (["-U", "postgres"], "pg_hba.conf rejects"),
        (["-U", "replicator"], "pg_hba.conf rejects"),
        (["-U", "exporter"], "pg_hba.conf rejects"),
        (["-U", "exchange"], "authentication failed"),
        (["-d", "postgres"], "CONNECT privilege"),
        (["-d", "template1"], "CONNECT privilege"),
    ],
)
def test_who_is_refused(client: Client, arguments: list[str], why: str) -> None:
    code, output = client.psql("SELECT 1", *arguments)
    assert code != 0
    assert any(words in output for words in why.split("|")), output


def metrics(client: Client, pod: str) -> dict[str, float]:
    """Return an exporter's metrics by name and labels; there is no other program in its image that speaks HTTP."""
    ask = "exec 3<>/dev/tcp/127.0.0.1/9187; printf 'GET /metrics HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3"
    code, output = run(client.api, DATABASE, pod, ["bash", "-c", ask])
    assert code == 0, output
    lines = [line for line in output.splitlines() if line.startswith(("pg_", "exchange_"))]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


@pytest.mark.campaign
def test_each_member_has_an_exporter_that_sees_it(cluster: Cluster, client: Client) -> None:
    eventually("three members", lambda: whole(cluster))
    for pod in pods(cluster):
        name = pod["metadata"]["name"]
        found = metrics(client, name.replace("postgres", "postgres-exporter"))
        said_of = {key.partition("{")[0] for key in found}
        assert found["pg_up"] == 1
        assert found["pg_exporter_last_scrape_error"] == 0
        assert all(value == 1 for key, value in found.items() if key.startswith("pg_scrape_collector_success"))
        assert found["pg_replication_is_replica"] == (name != primary(cluster))
        assert {
            "exchange_certificate_not_after_timestamp_seconds",
            "exchange_connections_used",
            "exchange_lock_waits_sessions",
            "exchange_statements_longest_seconds",
            "pg_database_size_bytes",
            "pg_database_wraparound_age_datfrozenxid_seconds",
            "pg_locks_count",
            "pg_stat_database_deadlocks",
        } <= said_of
        standbys = [key for key in found if key.startswith("exchange_standby_lag_bytes")]
        assert len(standbys) == (2 if name == primary(cluster) else 0)
        [ends] = [found[key] for key in found if key.startswith("exchange_certificate_not_after")]
        assert ends > time.time() + 24 * 3600


def test_the_exporters_role_gets_no_further(client: Client) -> None:
    stored = client.api.read_namespaced_secret("postgres-exporter", DATABASE).data["password"]
    login = ["env", f"PGPASSWORD={base64.b64decode(stored).decode()}", "psql", "-XAtq", "-U", "exporter"]
    for database, query, why in (
        ("exchange", "SELECT 1", "pg_hba.conf rejects"),
        ("postgres", "SELECT rolpassword FROM pg_authid", "permission denied"),
        ("postgres", "CREATE TABLE mine ()", "permission denied"),
    ):
        code, output = run(client.api, APP, CLIENT, [*login, "-d", database, "-c", query])
        assert code != 0
        assert why in output


def test_standbys_serve_reads_alone(client: Client) -> None:
    arguments = ["-h", f"postgres-ro.{DATABASE}.svc"]
    assert client.psql("SELECT pg_is_in_recovery()", *arguments) == (0, "t\n")
    code, output = client.psql("INSERT INTO kept DEFAULT VALUES", *arguments)
    assert code != 0
    assert "read-only transaction" in output


def test_a_poolers_connection_leaves_a_standby(client: Client) -> None:
    """What PgBouncer says on each new connection, as the application's own login, which has the owner's role."""
    variables = yaml.safe_load((PROJECT / "roles" / "postgres" / "vars" / "main.yml").read_text())
    said = f"SET lock_timeout = '5s'; {variables['__postgres_pgbouncer_leave_standby']}"
    code, answer = client.psql(said, "-h", f"postgres-ro.{DATABASE}.svc")
    assert code != 0
    assert "terminating connection due to administrator command" in answer
    code, answer = client.psql(said, "-c", "SELECT current_user || ' ' || current_setting('lock_timeout')")
    assert (code, answer.strip()) == (0, "exchange 5s"), answer


def test_a_deleted_primary_comes_back_with_its_name_and_data(cluster: Cluster, client: Client, row: str) -> None:
    was, before = primary(cluster), uids(cluster)
    client.api.delete_namespaced_pod(was, DATABASE)
    eventually("another primary", lambda: primary(cluster) not in {"", was})
    assert client.value(f"SELECT count(*) FROM kept WHERE id = {row}") == "1"  # noqa: S608  (a number of ours)
    eventually("three members", lambda: whole(cluster))
    after = uids(cluster)
    assert {name for name in after if after[name] != before[name]} == {was}


@pytest.mark.usefixtures("row")
def test_all_members_deleted_at_once_come_back(cluster: Cluster, client: Client) -> None:
    before = uids(cluster)
    client.api.delete_collection_namespaced_pod(DATABASE, label_selector=LABELS)
    eventually(
        "three new pods", lambda: len(uids(cluster)) == 3 and not set(uids(cluster).values()) & {*before.values()}
    )
    eventually("three members", lambda: whole(cluster))


def test_nothing_changes_whoever_is_primary(cluster: Cluster) -> None:
    eventually("three members", lambda: whole(cluster))
    run = run_playbook(PLAYBOOK)
    assert (run.code, run.changed) == (0, 0), run.output


@pytest.mark.usefixtures("row")
def test_a_parameter_is_reloaded_without_a_restart(cluster: Cluster, client: Client) -> None:
    started = client.value("SELECT pg_postmaster_start_time()")
    run = run_playbook(PLAYBOOK, "-e", '{"postgres_parameters": {"work_mem": "3MB"}}')
    assert (run.code, run.changed) == (0, 1), run.output
    eventually("work_mem", lambda: client.value("SHOW work_mem") == "3MB", 30)
    assert run_playbook(PLAYBOOK).code == 0
    assert client.value("SELECT pg_postmaster_start_time()") == started
    eventually("work_mem as before", lambda: client.value("SHOW work_mem") != "3MB", 30)
    assert whole(cluster)


@pytest.mark.usefixtures("row")
def test_a_parameter_that_needs_a_restart_restarts_no_pod(cluster: Cluster, client: Client) -> None:
    before, connections = uids(cluster), int(client.value("SHOW max_connections"))
    for wanted in (connections + 5, connections):
        run = run_playbook(PLAYBOOK, "-e", json.dumps({"postgres_parameters": {"max_connections": wanted}}))
        assert run.code == 0, run.output
        for name in before:
            found = run_in(client, name, "SHOW max_connections")
            assert found == str(wanted), name
        assert not any(said(pod).get("pending_restart") for pod in pods(cluster))
    assert uids(cluster) == before


def run_in(client: Client, pod: str, sql: str) -> str:
    """Return the value that a member itself gives, asked as its superuser."""
    code, output = run(client.api, DATABASE, pod, ["psql", "-XAtq", "-U", "postgres", "-c", sql])
    assert code == 0, output
    return output.strip()


@pytest.mark.usefixtures("row")
def test_scaling_down_keeps_volumes_and_up_uses_them_again(cluster: Cluster) -> None:
    volumes = {
        c["metadata"]["name"]: c["metadata"]["uid"] for c in cluster.items("PersistentVolumeClaim", namespace=DATABASE)
    }
    assert run_playbook(PLAYBOOK, "-e", "postgres_replicas=1").code == 0
    eventually("one member", lambda: list(uids(cluster)) == ["postgres-0"] and whole(cluster, 1))
    assert run_playbook(PLAYBOOK).code == 0
    eventually("three members", lambda: whole(cluster))
    claims = cluster.items("PersistentVolumeClaim", namespace=DATABASE)
    assert {c["metadata"]["name"]: c["metadata"]["uid"] for c in claims} == volumes


@pytest.mark.usefixtures("row")
def test_a_new_revision_replaces_each_member_once_and_the_primary_last(cluster: Cluster) -> None:
    was, before = primary(cluster), uids(cluster)
    start = time.monotonic()
    run = run_playbook(PLAYBOOK, "-e", "postgres_termination_grace_seconds=110")
    assert run.code == 0, run.output
    after = uids(cluster)
    assert not set(before.values()) & set(after.values())
    created = {pod["metadata"]["name"]: pod["metadata"]["creationTimestamp"] for pod in pods(cluster)}
    assert created[was] == max(created.values()), f"{created} after {time.monotonic() - start:.0f} s"
    assert run_playbook(PLAYBOOK).code == 0


@pytest.mark.campaign
def test_a_standby_far_behind_is_never_promoted(cluster: Cluster, client: Client) -> None:
    eventually("three members", lambda: whole(cluster))
    was = primary(cluster)
    behind, other = sorted({"postgres-0", "postgres-1", "postgres-2"} - {was})

    def signal_receiver(name: str) -> None:
        # As if its network were stuck: what arrives is neither written nor replayed any more.
        program = (
            "import os, pathlib, signal\n"
            "for path in pathlib.Path('/proc').glob('[0-9]*/cmdline'):\n"
            # This very program has the word in its own command line.
            "    if b'walreceiver' in path.read_bytes() and path.parent.name != str(os.getpid()):\n"
            f"        os.kill(int(path.parent.name), signal.{name})"
        )
        code, output = run(client.api, DATABASE, behind, ["python3", "-c", program])
        assert code == 0, output

    def superuser(pod: str, sql: str) -> str:
        code, output = run(client.api, DATABASE, pod, ["psql", "-XAtq", "-U", "postgres", "-c", sql])
        assert code == 0, output
        return output.strip()

    def cordon(*members: str, unschedulable: bool) -> None:
        for pod in members:
            node = nodes[pod]
            client.api.patch_node(node, {"spec": {"unschedulable": unschedulable}})

    nodes = {pod["metadata"]["name"]: pod["spec"]["nodeName"] for pod in pods(cluster)}
    signal_receiver("SIGSTOP")
    try:
        # 65 segments of 16 MiB: a GiB, of which little has to be written.
        for _ in range(65):
            superuser(was, "SELECT pg_logical_emit_message(true, 'test', 'x'); SELECT pg_switch_wal()")
        written = client.value("INSERT INTO kept DEFAULT VALUES RETURNING id")
        position = (
            f"SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '{superuser(behind, 'SELECT pg_last_wal_receive_lsn()')}')"
        )
        assert float(superuser(was, position)) > 2**30
        # Primary and the other standby go, and can't come back yet: each volume is on a node that takes no pods.
        cordon(was, other, unschedulable=True)
        for pod in (was, other):
            client.api.delete_namespaced_pod(pod, DATABASE, grace_period_seconds=0)
        until = time.monotonic() + 60
        while time.monotonic() < until:
            assert superuser(behind, "SELECT pg_is_in_recovery()") == "t"
            assert primary(cluster) != behind
            time.sleep(2)
    finally:
        cordon(was, other, unschedulable=False)
        signal_receiver("SIGCONT")
    eventually("a primary again", lambda: primary(cluster) not in {"", behind}, 300)
    # Nobody keeps a GiB of WAL for it.
    refused = run_playbook("playbooks/recreate_member.yml", "-e", f"recreate_member={primary(cluster)}")
    assert refused.code != 0
    assert "expected a standby, one of" in refused.output
    anew = run_playbook("playbooks/recreate_member.yml", "-e", f"recreate_member={behind}")
    assert anew.code == 0, anew.output
    assert whole(cluster)
    assert primary(cluster) != behind
    assert client.value(f"SELECT count(*) FROM kept WHERE id = {written}") == "1"  # noqa: S608  (a number of ours)


@pytest.mark.campaign
def test_the_isolation_drill_says_what_it_saw_and_leaves_nothing(cluster: Cluster) -> None:
    eventually("three members", lambda: whole(cluster))
    drill = run_playbook("playbooks/verify.yml", "-e", '{"verify_drills": ["isolation"]}')
    assert drill.code == 0, drill.output
    assert "This cluster enforces NetworkPolicies." in drill.output or "DOES NOT ENFORCE" in drill.output
    assert "WRONG" not in drill.output
    left = {"label_selector": "cryptoexchange.platform/drill"}
    assert cluster.items("Pod", **left) == cluster.items("NetworkPolicy", "networking.k8s.io/v1", **left) == []
    assert "drill-isolation" not in [item["metadata"]["name"] for item in cluster.items("Namespace")]


@pytest.mark.campaign
def test_pgbouncer_lets_its_clients_wait_in_a_switchover(cluster: Cluster, client: Client) -> None:
    pooled = ["-e", '{"postgres_pgbouncer_enabled": true}']
    first = run_playbook(PLAYBOOK, *pooled)
    assert first.code == 0, first.output
    assert run_playbook(PLAYBOOK, *pooled).changed == 0
    through = ["-h", f"pgbouncer.{DATABASE}.svc"]
    assert client.psql("SELECT current_user || current_setting('lock_timeout')", *through) == (0, "exchange5s\n")
    for arguments in (["-U", "postgres"], ["-U", "exchange"], ["-d", "postgres"], ["-d", "sslmode=disable"]):
        assert client.psql("SELECT 1", *through, *arguments)[0] != 0
    assert client.psql("DELETE FROM kept")[0] == 0
    # A hundred transactions of one session, over a switchover: all of them get through.
    transaction = "INSERT INTO kept SELECT nextval('kept_id_seq') FROM pg_sleep(0.3)"
    commands = [word for _ in range(100) for word in ("-c", transaction)]
    # A connection to the API of its own: this one belongs to another thread.
    api: Any = cast("Any", CoreV1Api)(Cluster().client.client)
    answer: list[tuple[int, str]] = []
    writer = threading.Thread(
        target=lambda: answer.append(
            run(api, APP, CLIENT, ["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", *through, *commands])
        )
    )
    was = primary(cluster)
    writer.start()
    switched = run_playbook("playbooks/switchover.yml", *pooled)
    writer.join(120)
    assert switched.code == 0, switched.output
    assert answer == [(0, "")]
    assert primary(cluster) not in {"", was}
    assert client.value("SELECT count(*) FROM kept") == "100"
    gone = run_playbook(PLAYBOOK, "-e", "platform_prune=true")
    assert gone.code == 0, gone.output


@pytest.mark.campaign
@pytest.mark.usefixtures("row")
def test_a_drill_proves_a_switchover_and_leaves_nothing(cluster: Cluster, client: Client, tmp_path: Path) -> None:
    refused = run_playbook("playbooks/verify.yml", "-e", "verify_production=true")
    assert refused.code != 0
    assert "Nothing has been done: a drill interrupts the database" in refused.output
    wanted = {
        "verify_drills": ["switchover"],
        "verify_report_directory": str(tmp_path),
        # How long it takes is not a matter of this test.
        "verify_longest_pause_seconds": {"switchover": 60},
    }
    run = run_playbook("playbooks/verify.yml", "-e", json.dumps(wanted))
    assert run.code == 0, run.output
    text, page = (tmp_path / "record.json").read_text(), (tmp_path / "report.html").read_text()
    (record,) = json.loads(text)["drills"]
    assert record["lost"] == record["overlaps"] == []
    assert record["acknowledged"] > 50
    assert record["new_primary"] == primary(cluster) != record["primary"]
    assert page.count("<circle") == record["acknowledged"]
    no_secret_in(run.output + text + page, cluster)
    for kind, version in (
        ("Job", "batch/v1"),
        ("Pod", "v1"),
        ("Secret", "v1"),
        ("NetworkPolicy", "networking.k8s.io/v1"),
    ):
        assert cluster.items(kind, version, namespace=APP, label_selector="app.kubernetes.io/name=platform-drill") == []
    assert client.value("SELECT count(*) FROM pg_namespace WHERE nspname = 'platform_drill'") == "0"
