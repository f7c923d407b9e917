"""The deployer's kubeconfig on a live cluster: what it is refused, one by one, and that a release needs no more."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from cluster import docker
from cluster.paths import tools
from cluster.shell import run
from conftest import CONTEXT, KUBECONFIG, PROJECT, Cluster, Run, no_secret_in, run_playbook
from kubernetes import config as kubernetes_config
from kubernetes.dynamic.exceptions import DynamicApiError
from openshift.dynamic import DynamicClient

NAMESPACE, DATABASE, SYSTEM = "exchange", "exchange-database", "exchange-platform"
OK, FORBIDDEN = 200, 403
CORE, RBAC = "/api/v1", "/apis/rbac.authorization.k8s.io/v1"
MERGE = "application/merge-patch+json"


def play(variables: dict[str, Any], *arguments: str, **changed: Any) -> Run:
    """Run the playbook with the deployer among the components."""
    defaults = yaml.safe_load((PROJECT / "roles" / "platform" / "defaults" / "main.yml").read_text())
    components = [*variables.get("platform_components", defaults["platform_components"]), "deployer"]
    return run_playbook(
        "playbooks/deployer.yml", "-e", json.dumps({"platform_components": components, **changed}), *arguments
    )


@pytest.fixture(scope="module")
def credentials(variables: dict[str, Any], cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a kubeconfig of the deployer, written as a user writes it."""
    path = tmp_path_factory.mktemp("deployer") / "deployer"
    looked = play(variables, "--check", deployer_kubeconfig=str(path))
    assert looked.code == 0, looked.output
    assert not path.exists()
    written = play(variables, deployer_kubeconfig=str(path))
    assert written.code == 0, written.output
    assert "there is none yet; good until" in " ".join(written.output.split())
    no_secret_in(written.output, cluster)
    assert json.loads(path.read_text())["users"][0]["user"]["token"] not in written.output
    return path


class Client:
    """Asks the API with a kubeconfig, by path."""

    def __init__(self, kubeconfig: Path, context: str | None = None) -> None:
        """Load the kubeconfig."""
        self.client = DynamicClient(kubernetes_config.new_client_from_config(str(kubeconfig), context))

    def status(self, method: str, path: str, body: Any = None, content_type: str = "application/json") -> int:
        """Return the status that a request is answered with."""
        path, _, query = path.partition("?")
        parameters = [tuple(part.split("=")) for part in query.split("&") if part]
        headers = {"Content-Type": content_type}
        try:
            answer = self.client.request(
                method, path, body=body, query_params=parameters, header_params=headers, serialize=False
            )
        except DynamicApiError as error:
            return int(error.status)
        return int(answer.status)


@pytest.fixture(scope="module")
def deployer(credentials: Path) -> Client:
    """Return the deployer."""
    return Client(credentials)


@pytest.fixture(scope="module")
def administrator() -> Client:
    """Return the account that the tests use otherwise."""
    return Client(KUBECONFIG, CONTEXT)


def test_only_its_owner_can_read_the_kubeconfig(credentials: Path) -> None:
    assert stat.S_IMODE(credentials.stat().st_mode) == 0o600


def test_a_good_token_is_kept(variables: dict[str, Any], credentials: Path) -> None:
    before = credentials.read_text()
    again = play(variables, deployer_kubeconfig=str(credentials))
    assert (again.code, again.changed) == (0, 0), again.output
    assert credentials.read_text() == before


def test_a_file_of_somebody_else_is_left_alone(variables: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "mine"
    path.write_text("apiVersion: v1\nkind: Config\n")
    refused = play(variables, deployer_kubeconfig=str(path))
    assert refused.code != 0
    assert "is left alone: name another file" in " ".join(refused.output.split())
    assert path.read_text() == "apiVersion: v1\nkind: Config\n"


LOOKS = {
    "the database's Secrets": f"{CORE}/namespaces/{DATABASE}/secrets",
    "the database's password": f"{CORE}/namespaces/{DATABASE}/secrets/postgres-app",
    "the keys of the CAs": f"{CORE}/namespaces/{SYSTEM}/secrets/ingress-ca",
    "Secrets of the whole cluster": f"{CORE}/secrets",
    "pods of the whole cluster": f"{CORE}/pods",
    "Deployments of the whole cluster": "/apis/apps/v1/deployments",
    "events of the whole cluster": f"{CORE}/events",
    "the namespaces": f"{CORE}/namespaces",
    "its own namespace": f"{CORE}/namespaces/{NAMESPACE}",
    "the nodes": f"{CORE}/nodes",
    "the volumes": f"{CORE}/persistentvolumes",
    "the database's pods": f"{CORE}/namespaces/{DATABASE}/pods",
    "the database's configuration": f"{CORE}/namespaces/{DATABASE}/configmaps",
    "Kubernetes' own pods": f"{CORE}/namespaces/kube-system/pods",
    "Roles of its namespace": f"{RBAC}/namespaces/{NAMESPACE}/roles",
    "RoleBindings of its namespace": f"{RBAC}/namespaces/{NAMESPACE}/rolebindings",
    "ClusterRoles": f"{RBAC}/clusterroles",
}


@pytest.mark.parametrize("what", LOOKS)
def test_it_may_not_look_at(deployer: Client, administrator: Client, what: str) -> None:
    # What there is to see is there, so a refusal is one.
    assert administrator.status("GET", LOOKS[what]) == OK
    assert deployer.status("GET", LOOKS[what]) == FORBIDDEN


@pytest.mark.parametrize("action", ["exec", "attach", "portforward"])
@pytest.mark.parametrize("namespace", [NAMESPACE, DATABASE])
def test_it_may_not_step_into_a_pod(
    deployer: Client, administrator: Client, cluster: Cluster, namespace: str, action: str
) -> None:
    name = cluster.items("Pod", namespace=namespace)[0]["metadata"]["name"]
    path = f"{CORE}/namespaces/{namespace}/pods/{name}/{action}?command=id&stdout=true"
    # Without an upgrade to a stream nothing is run: who may is told so instead.
    assert administrator.status("POST", path) not in {OK, FORBIDDEN}
    assert deployer.status("POST", path) == FORBIDDEN


def role(name: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "rules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]}


def binding(name: str, kind: str) -> dict[str, Any]:
    account = {"kind": "ServiceAccount", "name": "deployer", "namespace": NAMESPACE}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": "cluster-admin"}
    return {"metadata": {"name": name}, "roleRef": reference, "subjects": [account]}


POD = {"metadata": {"name": "none"}, "spec": {"containers": [{"name": "none", "image": "none"}]}}
CHANGES: dict[str, tuple[str, str, Any]] = {
    "a Role": ("POST", f"{RBAC}/namespaces/{NAMESPACE}/roles", role("more")),
    "its own Role": ("PATCH", f"{RBAC}/namespaces/{NAMESPACE}/roles/deployer", role("deployer")),
    "a RoleBinding": ("POST", f"{RBAC}/namespaces/{NAMESPACE}/rolebindings", binding("more", "ClusterRole")),
    "its own RoleBinding": ("PATCH", f"{RBAC}/namespaces/{NAMESPACE}/rolebindings/deployer", {"subjects": []}),
    "a ClusterRoleBinding": ("POST", f"{RBAC}/clusterrolebindings", binding("more", "ClusterRole")),
    "a token of another account": ("POST", f"{CORE}/namespaces/{NAMESPACE}/serviceaccounts/default/token", {}),
    "a longer token of its own": ("POST", f"{CORE}/namespaces/{NAMESPACE}/serviceaccounts/deployer/token", {}),
    "a pod": ("POST", f"{CORE}/namespaces/{NAMESPACE}/pods", POD),
    "a namespace": ("POST", f"{CORE}/namespaces", {"metadata": {"name": "more"}}),
    "its namespace's labels": ("PATCH", f"{CORE}/namespaces/{NAMESPACE}", {"metadata": {"labels": {"more": "yes"}}}),
    "a ConfigMap of the database": ("POST", f"{CORE}/namespaces/{DATABASE}/configmaps", {"metadata": {"name": "more"}}),
    "a Secret of the database": ("POST", f"{CORE}/namespaces/{DATABASE}/secrets", {"metadata": {"name": "more"}}),
    "the number of database members": (
        "PATCH",
        f"/apis/apps/v1/namespaces/{DATABASE}/statefulsets/postgres",
        {"spec": {"replicas": 0}},
    ),
    "something in another namespace": ("POST", f"{CORE}/namespaces/default/services", {"metadata": {"name": "more"}}),
    "a volume claim, away": ("DELETE", f"{CORE}/namespaces/{NAMESPACE}/persistentvolumeclaims/none", None),
}


@pytest.mark.parametrize("what", CHANGES)
def test_it_may_not_change(deployer: Client, what: str) -> None:
    method, path, body = CHANGES[what]
    assert deployer.status(method, path, body, MERGE if method == "PATCH" else "application/json") == FORBIDDEN


@pytest.mark.parametrize(
    "path",
    [
        f"{CORE}/namespaces/{NAMESPACE}/pods",
        f"{CORE}/namespaces/{NAMESPACE}/events",
        f"{CORE}/namespaces/{NAMESPACE}/secrets",
        f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments",
    ],
)
def test_it_may_look_at_what_it_deploys(deployer: Client, path: str) -> None:
    assert deployer.status("GET", path) == OK


def image(cluster: Cluster) -> str:
    [found] = [
        item
        for item in cluster.items("Deployment", "apps/v1", namespace=NAMESPACE)
        if item["metadata"]["name"] == "exchange-web"
    ]
    reference: str = found["spec"]["template"]["spec"]["containers"][0]["image"]
    return reference


def release(credentials: Path, variables: dict[str, Any], script: str, *arguments: str, seconds: int = 300) -> Run:
    """Run a script of the pipeline with nothing but the deployer's kubeconfig."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(credentials.parent),
        "KUBECONFIG": str(credentials),
        "HELM": variables["exchange_app_helm_binary"],
        "KUBECTL": shutil.which("kubectl") or str(tools() / "kubectl"),
        "TIMEOUT_SECONDS": str(seconds),
        "SMOKE": "none",
    }
    result = subprocess.run(
        [str(PROJECT / "ci" / script), *arguments],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    return Run(result.returncode, result.stdout)


@pytest.fixture
def other_tag(cluster: Cluster) -> Iterator[str]:
    """Return a tag of the image that runs, which the kind cluster's nodes have under it as well."""
    docker.ensure()
    repository, _, tag = image(cluster).rpartition(":")
    other = f"{tag}-by-the-deployer"
    nodes = [node["metadata"]["name"] for node in cluster.items("Node") if "worker" in node["metadata"]["name"]]
    assert nodes
    for node in nodes:
        run(["docker", "exec", node, "ctr", "-n", "k8s.io", "images", "tag", "--force",
             f"{repository}:{tag}", f"{repository}:{other}"])  # fmt: skip
    yield other
    restored = run_playbook("playbooks/app.yml", "-e", json.dumps({"exchange_app_image_tag": tag}))
    assert restored.code == 0, restored.output
    for node in nodes:
        run(["docker", "exec", node, "ctr", "-n", "k8s.io", "images", "rm", f"{repository}:{other}"])


def test_it_deploys_another_tag_and_goes_back(
    credentials: Path, variables: dict[str, Any], cluster: Cluster, other_tag: str
) -> None:
    before = image(cluster)
    deployed = release(credentials, variables, "release.sh", other_tag)
    assert deployed.code == 0, deployed.output
    assert image(cluster).endswith(f":{other_tag}")
    back = release(credentials, variables, "rollback.sh")
    assert back.code == 0, back.output
    assert image(cluster) == before


def test_a_version_that_does_not_come_up_is_given_up_with_its_reason(
    credentials: Path, variables: dict[str, Any], cluster: Cluster
) -> None:
    before = image(cluster)
    failed = release(credentials, variables, "release.sh", "there-is-no-such-tag", seconds=45)
    assert failed.code == 1, failed.output
    last = failed.output.strip().splitlines()[-1]
    assert last.startswith("FAILED: there-is-no-such-tag was not brought into service: ")
    assert "ErrImagePull" in last or "ImagePullBackOff" in last
    assert last.endswith(f"{before} serves.")
    assert image(cluster) == before
