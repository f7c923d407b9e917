"""The platform is removed and comes back with its data; what isn't ours is still there.

Run alone, on the demo's cluster: `pytest tests/integration/test_uninstall.py`; part of `tests/prove/demo.py`.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import NAMESPACES, Cluster, no_secret_in, run_playbook
from test_postgres import Client

PLAYBOOK = "playbooks/uninstall.yml"
DATABASE = "exchange-database"
OURS = "app.kubernetes.io/part-of=cryptoexchange,app.kubernetes.io/managed-by=ansible"
# Beside what is looked at by namespace.
WIDE = [
    ("ClusterRole", "rbac.authorization.k8s.io/v1"),
    ("ClusterRoleBinding", "rbac.authorization.k8s.io/v1"),
    ("IngressClass", "networking.k8s.io/v1"),
]


@pytest.fixture
def theirs(cluster: Cluster) -> Iterator[list[tuple[str, str, str]]]:
    """Put others' things into the way: a stranger's object with our labels, and one in our namespace."""
    labels = {
        "app.kubernetes.io/name": "postgres",
        "app.kubernetes.io/instance": "exchange",
        "app.kubernetes.io/part-of": "cryptoexchange",
        "app.kubernetes.io/managed-by": "ansible",
    }
    made = [
        ("ClusterRole", "rbac.authorization.k8s.io/v1", ""),
        ("ConfigMap", "v1", DATABASE),
        ("ConfigMap", "v1", "exchange"),
        ("ConfigMap", "v1", "default"),
    ]
    for kind, version, namespace in made:
        body = {"apiVersion": version, "kind": kind, "metadata": {"name": "theirs", "labels": labels}}
        cluster.kind(kind, version).create(body=body, **({"namespace": namespace} if namespace else {}))
    yield made
    for kind, version, namespace in made:
        cluster.kind(kind, version).delete(name="theirs", **({"namespace": namespace} if namespace else {}))


def present(cluster: Cluster, made: list[tuple[str, str, str]]) -> bool:
    return all(
        "theirs" in [item["metadata"]["name"] for item in cluster.items(kind, version, **where)]
        for kind, version, namespace in made
        for where in [{"namespace": namespace} if namespace else {}]
    )


def claims(cluster: Cluster) -> dict[str, str]:
    found = (item for name in NAMESPACES for item in cluster.items("PersistentVolumeClaim", namespace=name))
    return {item["metadata"]["name"]: item["metadata"]["uid"] for item in found}


def workloads(cluster: Cluster) -> list[str]:
    kinds = [("Deployment", "apps/v1"), ("StatefulSet", "apps/v1"), ("CronJob", "batch/v1"), ("Pod", "v1")]
    return [
        f"{kind} {item['metadata']['name']}"
        for kind, version in kinds
        for item in cluster.items(kind, version, label_selector="app.kubernetes.io/part-of=cryptoexchange")
    ]


def test_the_platform_goes_its_data_stays_and_site_brings_both_back(
    cluster: Cluster, theirs: list[tuple[str, str, str]]
) -> None:
    client = Client(cluster)
    mark = secrets.token_hex(8)
    try:
        client.value(f"create table kept_{mark} as select '{mark}' as mark; select 1")
    finally:
        client.close()
    before, volumes = cluster.versions(NAMESPACES), claims(cluster)
    assert volumes, "there is nothing that could be lost"

    looked = run_playbook(PLAYBOOK, "--check", "--diff")
    assert looked.code == 0, looked.output
    assert "StatefulSet exchange-database/postgres" in looked.output
    assert cluster.versions(NAMESPACES) == before
    refused = run_playbook(PLAYBOOK, "-e", "platform_cluster_uid=11111111-2222-3333-4444-555555555555")
    assert refused.code != 0
    assert "wrong cluster" in refused.output
    mistyped = run_playbook(PLAYBOOK, "-e", '{"uninstall_delete_data": ["exchange-datbase"]}')
    assert mistyped.code != 0
    assert "uninstall_delete_data has 'exchange-datbase'" in mistyped.output
    assert cluster.versions(NAMESPACES) == before

    gone = run_playbook(PLAYBOOK, "--diff")
    assert gone.code == 0, gone.output
    no_secret_in(gone.output, cluster)
    assert workloads(cluster) == []
    assert claims(cluster) == volumes
    for name in volumes:
        assert f"/{name}: data, in the volume" in " ".join(gone.output.split()), gone.output
    wide = [item for kind, version in WIDE for item in cluster.items(kind, version, label_selector=OURS)]
    assert [item["metadata"]["name"] for item in wide] == ["theirs"]
    assert present(cluster, theirs)
    again = run_playbook(PLAYBOOK)
    assert (again.code, again.changed) == (0, 0), again.output

    back = run_playbook("site.yml")
    assert back.code == 0, back.output
    assert claims(cluster) == volumes
    client = Client(cluster)
    try:
        assert client.value(f"table kept_{mark}") == mark
        client.value(f"drop table kept_{mark}; select 1")
    finally:
        client.close()
    second = run_playbook("site.yml")
    assert (second.code, second.changed) == (0, 0), second.output


def test_nothing_of_it_asks_for_what_is_gone(cluster: Cluster) -> None:
    """After site.yml every claim is bound, and every pod of ours is ready."""
    pending: list[dict[str, Any]] = [
        item
        for name in NAMESPACES
        for item in cluster.items("PersistentVolumeClaim", namespace=name)
        if item["status"]["phase"] != "Bound"
    ]
    assert pending == []
