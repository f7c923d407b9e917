"""playbooks/uninstall.yml against a stand-in of the API: what it asks for, in which order, and what it leaves alone.

That site.yml brings the platform back with its data is seen on a cluster: tests/integration/test_uninstall.py.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from unit.roles.api_stand_in import UID, Cluster, kubeconfig, served

PROJECT = Path(__file__).resolve().parents[3]
OURS = {
    "labels": {
        "app.kubernetes.io/name": "postgres",
        "app.kubernetes.io/instance": "exchange",
        "app.kubernetes.io/component": "database",
        "app.kubernetes.io/part-of": "cryptoexchange",
        "app.kubernetes.io/managed-by": "ansible",
    },
    "managedFields": [{"manager": "cryptoexchange-platform", "operation": "Apply"}],
}
OTHERS = {**OURS, "managedFields": [{"manager": "kubectl-create", "operation": "Update"}]}
MEMBER = {"labels": {name: OURS["labels"][f"app.kubernetes.io/{name.partition('/')[2]}"] for name in (
    "app.kubernetes.io/name", "app.kubernetes.io/instance", "app.kubernetes.io/component")}}  # fmt: skip
# What is asked of Helm; that it removes a release is seen elsewhere.
HELM = """#!/bin/sh
case $1 in
  version) echo 'version.BuildInfo{Version:"v3.19.0", GoVersion:"go1.24"}' ;;
  list) printf -- '- {name: exchange, namespace: exchange, revision: "1", status: deployed, chart: x-1}\\n' ;;
  get) echo '{}' ;;
  uninstall) echo "$*" ;;
esac
"""


@pytest.fixture
def cluster() -> Cluster:
    """Return a cluster with a database of ours, and others' things beside it."""
    made = Cluster()
    made.add("Namespace", "exchange-platform", **OURS)
    made.add("Namespace", "exchange-database", **OURS)
    made.add("Namespace", "monitoring-of-ours", **OURS)
    made.add("Namespace", "somebody")
    made.add("ConfigMap", "kube-root-ca.crt", "exchange-database")
    made.add("ConfigMap", "objects-postgres", "exchange-platform", **OURS)
    made.add("Secret", "postgres", "exchange-database", **OURS, body={"data": {"password": "aHVudGVyMg=="}})
    made.add("Secret", "postgres-tls", "exchange-database", **OURS, body={"type": "kubernetes.io/tls"})
    made.add("StatefulSet", "postgres", "exchange-database", **OURS)
    made.add("Service", "postgres-rw", "exchange-database", **OURS)
    made.add("ConfigMap", "postgres-leader", "exchange-database", **MEMBER)
    claim = {"volumeName": "pv-0", "resources": {"requests": {"storage": "1Gi"}}}
    made.add("PersistentVolumeClaim", "data-postgres-0", "exchange-database", **MEMBER, body={"spec": claim})
    made.add("ClusterRole", "ours", **OURS)
    made.add("ClusterRole", "theirs", **OTHERS)
    made.add("ConfigMap", "theirs", "somebody", **OTHERS)
    made.add("ConfigMap", "ours", "somebody", **OURS)
    return made


@pytest.fixture
def address(cluster: Cluster) -> Iterator[str]:
    """Serve it."""
    with served(cluster) as found:
        yield found


def uninstall(folder: Path, address: str, *arguments: str, token: str = "right", **variables: Any) -> str:  # noqa: S107
    """Run the playbook and return its output."""
    (folder / "kubeconfig").write_text(kubeconfig(address, token))
    values = {
        "platform_kubeconfig": str(folder / "kubeconfig"),
        "platform_cluster_uid": UID,
        "platform_domain": "exchange.example.com",
        "platform_components": ["postgres"],
        "postgres_volume_size": "1Gi",
        **variables,
    }
    environment = {name: value for name, value in os.environ.items() if not name.startswith("K8S_AUTH_")}
    program = Path(sys.executable).with_name("ansible-playbook")
    command = [program, "playbooks/uninstall.yml", "-i", "inventories/prod", "-e", json.dumps(values), *arguments]
    done = subprocess.run(
        command,
        cwd=PROJECT,
        env={**environment, "ANSIBLE_FORCE_COLOR": "0", "TMPDIR": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.stdout


def names(cluster: Cluster) -> set[str]:
    return {f"{item['kind']} {item['metadata']['name']}" for item in cluster.objects.values()}


def changed(output: str) -> int:
    found = re.search(r"changed=(\d+).*failed=0", output)
    return int(found[1]) if found else -1


def test_what_is_ours_goes_and_data_stays(cluster: Cluster, address: str, tmp_path: Path) -> None:
    before = names(cluster)
    looked = uninstall(tmp_path, address, "--check")
    assert names(cluster) == before, looked
    assert "StatefulSet exchange-database/postgres" in looked
    assert cluster.deleted == []

    output = uninstall(tmp_path, address)
    assert before - names(cluster) == {
        "Namespace exchange-platform",
        "Namespace monitoring-of-ours",
        "ConfigMap objects-postgres",
        "Secret postgres-tls",
        "StatefulSet postgres",
        "Service postgres-rw",
        "ClusterRole ours",
        "ConfigMap ours",
    }, output
    order = [path.rpartition("/")[2] for path in cluster.deleted]
    assert order[0] == "postgres", "what runs is stopped first"
    assert sorted(order[-2:]) == ["exchange-platform", "monitoring-of-ours"], "and namespaces go last"
    for line in (
        "PersistentVolumeClaim exchange-database/data-postgres-0: data, in the volume pv-0",
        "Secret exchange-database/postgres: made once",
        "ConfigMap exchange-database/postgres-leader",
        "Namespace exchange-database: with 3 objects that stay",
    ):
        assert line in " ".join(output.split()), output
    assert "hunter2" not in output
    assert "aHVudGVyMg" not in output

    left = names(cluster)
    again = uninstall(tmp_path, address)
    assert changed(again) == 0, again
    assert names(cluster) == left

    named = uninstall(tmp_path, address, uninstall_delete_data=["exchange-database"])
    assert left - names(cluster) == {
        "PersistentVolumeClaim data-postgres-0",
        "Secret postgres",
        "ConfigMap postgres-leader",
        "Namespace exchange-database",
    }, named
    gone = uninstall(tmp_path, address, uninstall_delete_data=["exchange-database"])
    assert changed(gone) == 0, gone


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"platform_cluster_uid": "11111111-2222-3333-4444-555555555555"}, "wrong cluster"),
        ({"token": "of another cluster"}, "Unauthorized"),
        ({"uninstall_delete_data": ["somebody"]}, "uninstall_delete_data has 'somebody'"),
    ],
)
def test_it_stops_before_any_change(
    cluster: Cluster, address: str, tmp_path: Path, asked: dict[str, Any], said: str
) -> None:
    output = uninstall(tmp_path, address, **asked)
    assert changed(output) == -1, output
    assert said in " ".join(output.split())
    assert "othing has been changed" in output
    assert cluster.deleted == []


@pytest.mark.parametrize(("phase", "waits"), [("Succeeded", False), ("Failed", False), ("Running", True)])
def test_only_pods_that_run_are_waited_for(
    cluster: Cluster, address: str, tmp_path: Path, phase: str, *, waits: bool
) -> None:
    cluster.add("Namespace", "exchange", **OURS)
    record = {"labels": {"owner": "helm", "name": "exchange", "status": "deployed", "version": "1"}}
    cluster.add("Secret", "sh.helm.release.v1.exchange.v1", "exchange", **record, body={"type": "helm.sh/release.v1"})
    labels = {**OURS["labels"], "app.kubernetes.io/managed-by": "Helm", "app.kubernetes.io/component": "migrate"}
    cluster.add("Pod", "exchange-migrate", "exchange", labels=labels, body={"status": {"phase": phase}})
    (tmp_path / "helm").write_text(HELM)
    (tmp_path / "helm").chmod(0o755)
    output = uninstall(
        tmp_path, address, exchange_app_helm_binary=str(tmp_path / "helm"), platform_wait_timeout_seconds=10,
        postgres_member_timeout_seconds=30,
    )  # fmt: skip
    assert "Wait until nobody writes any more" in output, output
    assert (changed(output) == -1) == waits, output
    assert ("StatefulSet postgres" in names(cluster)) == waits, "the database is stopped last"
