"""The first look: --check --diff on a cluster where nothing of ours is yet."""

from __future__ import annotations

from conftest import NAMESPACES, Cluster, run_playbook


def test_a_first_check_says_what_would_be_created_and_creates_nothing(cluster: Cluster) -> None:
    before = {item["metadata"]["name"] for item in cluster.items("Namespace")}
    assert not before & set(NAMESPACES), "this test wants a cluster without the platform"
    run = run_playbook("site.yml", "--check", "--diff")
    assert run.code == 0, run.output
    assert run.changed > 0
    for what in ("StatefulSet postgres", "Namespace exchange-database", "NetworkPolicy default-deny"):
        assert what in run.output, run.output
    assert "PRIVATE KEY" not in run.output
    assert {item["metadata"]["name"] for item in cluster.items("Namespace")} == before
