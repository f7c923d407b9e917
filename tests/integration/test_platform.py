"""The guard, check mode, and pruning, on a live cluster that site.yml has finished."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import CONTEXT, KUBECONFIG, NAMESPACES, PROJECT, Cluster, no_secret_in, run_playbook

MANAGER = "cryptoexchange-platform"


@pytest.fixture
def other_cluster(tmp_path: Path) -> Path:
    """Return a kubeconfig whose context leads to a cluster that the inventory doesn't mean.

    The API is the same, but behind another name: what the guard sees is another address.
    """
    config = yaml.safe_load(KUBECONFIG.read_text())
    server = config["clusters"][0]["cluster"]
    server["tls-server-name"] = "kubernetes"
    server["server"] = server["server"].replace("127.0.0.1", "localhost")
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    path.chmod(0o600)
    return path


def refused(output: str, *words: str) -> None:
    """Assert that a run stopped before any change and said why."""
    assert "changed=0" in output, output
    assert "changed: [" not in output, output
    assert "othing has been changed" in output, output
    flat = " ".join(output.split())
    for word in words:
        assert word in flat, output


def test_another_cluster_is_refused_by_its_uid(cluster: Cluster, variables: dict[str, Any]) -> None:
    before = cluster.versions(NAMESPACES)
    run = run_playbook("site.yml", "-e", "platform_cluster_uid=11111111-2222-3333-4444-555555555555")
    assert run.code != 0
    refused(run.output, "wrong cluster", "11111111-2222-3333-4444-555555555555", variables["platform_cluster_uid"])
    assert cluster.versions(NAMESPACES) == before


def test_another_cluster_is_refused_by_its_address(other_cluster: Path) -> None:
    config = yaml.safe_load(KUBECONFIG.read_text())
    expected = config["clusters"][0]["cluster"]["server"]
    run = run_playbook(
        "site.yml", "-e", f"platform_kubeconfig={other_cluster}", "-e", f"platform_cluster_api_host={expected}"
    )
    assert run.code != 0
    refused(run.output, "wrong cluster", expected, "https://localhost:")


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"K8S_AUTH_HOST": "https://192.0.2.1:6443"}, ["K8S_AUTH_HOST"]),
        ({"K8S_AUTH_API_KEY": "abc"}, ["K8S_AUTH_API_KEY"]),
        ({"K8S_AUTH_VERIFY_SSL": "false"}, ["K8S_AUTH_VERIFY_SSL", "TLS verification"]),
    ],
)
def test_settings_in_the_environment_that_lead_elsewhere_are_refused(
    environment: dict[str, str], words: list[str]
) -> None:
    run = run_playbook("site.yml", env=environment)
    assert run.code != 0
    refused(run.output, *words)


def test_without_a_named_connection_nothing_happens_even_in_a_pod() -> None:
    # What a runner's pod has: a service account's token and the API's address in the environment.
    run = run_playbook(
        "site.yml",
        "-e",
        "platform_kubeconfig=",
        env={"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "443"},
    )
    assert run.code != 0
    refused(run.output, "platform_kubeconfig", "the cluster that it runs in")


def test_a_token_that_may_too_little_is_refused_before_any_change(tmp_path: Path) -> None:
    config = yaml.safe_load(KUBECONFIG.read_text())
    token = subprocess.run(
        ["kubectl", f"--kubeconfig={KUBECONFIG}", "-n", "default", "create", "token", "default", "--duration=10m"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    config["users"][0]["user"] = {"token": token}
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    path.chmod(0o600)
    run = run_playbook("site.yml", "-e", f"platform_kubeconfig={path}")
    assert run.code != 0
    refused(run.output, "Forbidden")


def test_check_mode_on_a_finished_cluster_changes_nothing_and_shows_no_secret(cluster: Cluster) -> None:
    before = cluster.versions(NAMESPACES)
    run = run_playbook("site.yml", "--check", "--diff")
    assert run.code == 0, run.output
    assert run.changed == 0, run.output
    assert cluster.versions(NAMESPACES) == before
    no_secret_in(run.output, cluster)


@pytest.fixture
def in_the_way(cluster: Cluster) -> Iterator[dict[str, tuple[str, str]]]:
    """Put objects into the platform's way that pruning must never touch; yield name -> (kind, apiVersion)."""
    labels = {
        "app.kubernetes.io/name": "platform",
        "app.kubernetes.io/instance": "exchange",
        "app.kubernetes.io/component": "namespaces",
        "app.kubernetes.io/managed-by": "ansible",
        "app.kubernetes.io/part-of": "cryptoexchange",
    }

    def metadata(name: str, **more: Any) -> dict[str, Any]:
        return {"name": name, "namespace": "exchange-platform", "labels": labels, **more}

    owner = cluster.kind("ConfigMap").get(name="kube-root-ca.crt", namespace="exchange-platform").metadata.uid
    owned = [{"apiVersion": "v1", "kind": "ConfigMap", "name": "kube-root-ca.crt", "uid": owner}]
    claim = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Mi"}},
        "storageClassName": "none",
    }
    ours: list[dict[str, Any]] = [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata("left-over"), "data": {"a": "b"}},
        {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata("claim"), "spec": claim},
        {"apiVersion": "v1", "kind": "Secret", "metadata": metadata("secret"), "stringData": {"a": "b"}},
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata("owned", ownerReferences=owned)},
    ]
    foreign = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata("foreign"), "data": {"a": "b"}}
    for item in ours:
        cluster.client.resources.get(api_version=item["apiVersion"], kind=item["kind"]).server_side_apply(
            body=item, name=item["metadata"]["name"], namespace="exchange-platform", field_manager=MANAGER
        )
    cluster.kind("ConfigMap").create(body=foreign, namespace="exchange-platform")
    # As if all of them had been applied by the run before.
    remember = cluster.kind("ConfigMap").get(name="objects-platform", namespace="exchange-platform").to_dict()
    lines = [
        f"{item['apiVersion']} {item['kind']} exchange-platform/{item['metadata']['name']}" for item in [*ours, foreign]
    ]
    lines.append("v1 Namespace /kube-public")
    cluster.client.resources.get(api_version="v1", kind="ConfigMap").server_side_apply(
        body={
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": "objects-platform",
                "namespace": "exchange-platform",
                "labels": remember["metadata"]["labels"],
            },
            "data": {"objects": remember["data"]["objects"] + "\n".join(lines) + "\n"},
        },
        name="objects-platform",
        namespace="exchange-platform",
        field_manager=MANAGER,
    )
    everything = {item["metadata"]["name"]: (item["kind"], item["apiVersion"]) for item in [*ours, foreign]}
    yield everything
    for name, (kind, api_version) in everything.items():
        resource = cluster.kind(kind, api_version)
        if any(
            item["metadata"]["name"] == name for item in resource.get(namespace="exchange-platform").to_dict()["items"]
        ):
            resource.delete(name=name, namespace="exchange-platform")


def test_pruning_names_first_and_removes_only_what_is_ours(
    cluster: Cluster, in_the_way: dict[str, tuple[str, str]]
) -> None:
    def present() -> set[str]:
        return {
            name
            for name, (kind, api_version) in in_the_way.items()
            if any(
                i["metadata"]["name"] == name for i in cluster.items(kind, api_version, namespace="exchange-platform")
            )
        }

    named = run_playbook("playbooks/database.yml")
    assert named.code == 0, named.output
    assert "ConfigMap left-over" in named.output, named.output
    assert present() == set(in_the_way), "without platform_prune nothing is removed"

    pruned = run_playbook("playbooks/database.yml", "-e", "platform_prune=true")
    assert pruned.code == 0, pruned.output
    assert present() == set(in_the_way) - {"left-over"}
    assert any(i["metadata"]["name"] == "kube-public" for i in cluster.items("Namespace"))

    again = run_playbook("playbooks/database.yml")
    assert again.code == 0
    assert again.changed == 0, again.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-e", "platform_domain='a b'"], ["platform_domain is 'a b'", "host name"]),
        (["-e", "postgres_replicsa=3"], ["postgres_replicsa", "did you mean postgres_replicas?"]),
        (["-e", "postgres_replicas=0"], ["postgres_replicas is"]),
        (["-e", "platform_tls_mode=provided"], ["platform_tls_certificate", "platform_tls_private_key"]),
        (
            ["-e", "platform_domain='a b'", "-e", "platform_tls_mode=half", "-e", "postgres_replicas=many"],
            [
                "platform_domain",
                "platform_tls_mode",
                "allowed: selfsigned, provided, cert_manager",
                "postgres_replicas",
            ],
        ),
    ],
)
def test_bad_values_are_refused_all_at_once_before_any_change(arguments: list[str], words: list[str]) -> None:
    run = run_playbook("site.yml", *arguments)
    assert run.code != 0
    refused(run.output, *words)


def test_every_playbook_runs_alone_and_from_another_folder(tmp_path: Path) -> None:
    for playbook in ("preflight", "ingress", "database", "app"):
        run = run_playbook(PROJECT / "playbooks" / f"{playbook}.yml", cwd=tmp_path)
        assert run.code == 0, run.output
        assert run.changed == 0, run.output
    run = run_playbook(PROJECT / "site.yml", cwd=tmp_path)
    assert (run.code, run.changed) == (0, 0), run.output


def test_the_built_collection_runs_by_its_name(tmp_path: Path) -> None:
    subprocess.run(
        ["ansible-galaxy", "collection", "build", str(PROJECT), "--output-path", str(tmp_path)],
        check=True,
        capture_output=True,
        cwd=tmp_path,
    )
    [built] = tmp_path.glob("*.tar.gz")
    subprocess.run(
        [
            "ansible-galaxy",
            "collection",
            "install",
            str(built),
            "-p",
            str(tmp_path / "installed"),
            "--no-deps",
            "--offline",
            "--force",  # also where the checkout is found as an installed collection
        ],
        check=True,
        capture_output=True,
        cwd=tmp_path,
    )
    run = run_playbook(
        "cryptoexchange.platform.site", cwd=tmp_path, env={"ANSIBLE_COLLECTIONS_PATH": str(tmp_path / "installed")}
    )
    assert (run.code, run.changed) == (0, 0), run.output
    assert CONTEXT is None or "fatal" not in run.output
