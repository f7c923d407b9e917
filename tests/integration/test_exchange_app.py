"""The application's release on a live cluster: whose tag is deployed, what interruptions and failures leave behind."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils import helm_release
from conftest import CONTEXT, KUBECONFIG, PROJECT, Cluster, Run, eventually, run_playbook

NAMESPACE = "exchange"
RELEASE = "exchange"
DEPLOYMENT = "exchange-web"
SELECTOR = f"owner=helm,name={RELEASE}"


def play(**variables: Any) -> Run:
    return run_playbook("playbooks/app.yml", "-e", json.dumps(variables))


def revisions(cluster: Cluster) -> list[dict[str, Any]]:
    return sorted(cluster.items("Secret", namespace=NAMESPACE, label_selector=SELECTOR), key=helm_release.number)


def deployment(cluster: Cluster) -> dict[str, Any]:
    (found,) = [
        item
        for item in cluster.items("Deployment", "apps/v1", namespace=NAMESPACE)
        if item["metadata"]["name"] == DEPLOYMENT
    ]
    return found


def tag(cluster: Cluster) -> str:
    image: str = deployment(cluster)["spec"]["template"]["spec"]["containers"][0]["image"]
    return image.rsplit(":", 1)[1]


def serve_on(cluster: Cluster) -> None:
    """Wait until every pod that is wanted serves: tests before may have left one that is coming up."""

    def all_available() -> bool:
        found = deployment(cluster)
        return bool(found["status"].get("availableReplicas") == found["spec"]["replicas"])

    eventually("all the old pods serving", all_available)


@pytest.fixture
def put_right(cluster: Cluster) -> Iterator[None]:
    """Deploy the inventory's values and the first tag again after a test that leaves others."""
    before = tag(cluster)
    yield
    run = play(exchange_app_image_tag=before)
    assert run.code == 0, run.output


def test_a_tag_that_delivery_deployed_is_kept_and_one_in_the_inventory_wins(
    cluster: Cluster, variables: dict[str, Any]
) -> None:
    before = tag(cluster)
    # No such image exists: the new pod waits for it, and the old ones go on serving.
    delivery = [
        variables["exchange_app_helm_binary"], "upgrade", RELEASE, str(PROJECT / "charts" / "exchange"),
        "--namespace", NAMESPACE, "--kubeconfig", str(KUBECONFIG), *(["--kube-context", CONTEXT] if CONTEXT else []),
        "--reset-then-reuse-values", "--set-string", "image.tag=delivered", "--no-hooks",
    ]  # fmt: skip
    subprocess.run(delivery, check=True, capture_output=True)
    kept = play()
    assert (kept.code, kept.changed) == (0, 0), kept.output
    assert ":delivered (kept from the running release)" in kept.output
    assert tag(cluster) == "delivered"
    serve_on(cluster)
    named = play(exchange_app_image_tag=before)
    assert named.code == 0, named.output
    assert f":{before} (exchange_app_image_tag)" in named.output
    assert tag(cluster) == before


def test_an_interrupted_upgrade_is_recovered(cluster: Cluster) -> None:
    newest = revisions(cluster)[-1]
    revision = helm_release.decode(newest)
    number = helm_release.number(newest) + 1
    # As Helm leaves it when it is killed: recorded, and for ever pending.
    interrupted = {
        **revision,
        "version": number,
        "info": {**revision["info"], "status": "pending-upgrade"},
        "config": {**revision["config"], "env": {"INTERRUPTED": "1"}},
    }
    name = f"sh.helm.release.v1.{RELEASE}.v{number}"
    labels = {**newest["metadata"]["labels"], "status": "pending-upgrade", "version": str(number)}
    cluster.kind("Secret").create(
        namespace=NAMESPACE,
        body={
            "apiVersion": "v1",
            "kind": "Secret",
            "type": newest["type"],
            "metadata": {"name": name, "namespace": NAMESPACE, "labels": labels},
            "data": {"release": helm_release.encode(interrupted)},
        },
    )
    run = play()
    assert run.code == 0, run.output
    assert f"Forget the interrupted revision {number} (pending-upgrade)" in run.output
    assert helm_release.status(revisions(cluster)[-1]) == "deployed"
    again = play()
    assert (again.code, again.changed) == (0, 0), again.output


@pytest.mark.usefixtures("put_right")
def test_a_failed_migration_leaves_the_old_version_serving_and_says_why(cluster: Cluster) -> None:
    before = deployment(cluster)
    step = {"name": "migrate", "command": ["python", "manage.py", "migrate", "nosuchapp"]}
    run = play(
        exchange_app_migrate_steps=[step],
        exchange_app_extra_values={"migrate": {"backoffLimit": 0}},
        exchange_app_env={"NEW": "1"},
    )
    assert run.code != 0
    assert "No installed app with label" in run.output
    assert "was not brought into service" in run.output
    after = deployment(cluster)
    assert after["metadata"]["generation"] == before["metadata"]["generation"]
    serve_on(cluster)


@pytest.mark.usefixtures("put_right")
def test_switching_the_autoscaler_on_carries_the_number_of_pods_over(cluster: Cluster) -> None:
    scaled = deployment(cluster)["spec"]["replicas"] + 1
    body = {"spec": {"replicas": scaled}}
    cluster.kind("Deployment", "apps/v1").patch(
        name=DEPLOYMENT, namespace=NAMESPACE, body=body, content_type="application/merge-patch+json"
    )
    eventually("the scaled Deployment", lambda: deployment(cluster)["status"].get("availableReplicas") == scaled)
    generation = deployment(cluster)["metadata"]["generation"]
    # By the chart's values: nobody tells the figures on this cluster, so preflight refuses exchange_app_autoscaling.
    run = play(exchange_app_extra_values={"autoscaling": {"enabled": True, "minReplicas": 2, "maxReplicas": 6}})
    assert run.code == 0, run.output
    assert deployment(cluster)["spec"]["replicas"] == scaled
    assert deployment(cluster)["metadata"]["generation"] == generation, "the number was changed in between"


def test_autoscaling_is_refused_where_nobody_tells_the_figures(cluster: Cluster) -> None:
    before = deployment(cluster)["metadata"]["generation"]
    run = play(exchange_app_autoscaling={"enabled": True, "max_replicas": 2})
    assert run.code != 0
    assert "Nothing has been changed: exchange_app_autoscaling.cpu_percent is 70" in run.output
    assert deployment(cluster)["metadata"]["generation"] == before
