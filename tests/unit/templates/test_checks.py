"""The checks themselves: good objects pass all of them, each flaw is found by the one it is meant for."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import yaml
from unit.templates import checks

LABELS = """
    app.kubernetes.io/name: web
    app.kubernetes.io/instance: exchange
    app.kubernetes.io/component: web
    app.kubernetes.io/part-of: cryptoexchange
    app.kubernetes.io/managed-by: ansible
"""
SELECTOR = "{app.kubernetes.io/name: web, app.kubernetes.io/instance: exchange, app.kubernetes.io/component: web}"
INDENTED = LABELS.replace("\n", "\n    ")
GOOD = f"""
apiVersion: v1
kind: ServiceAccount
metadata:
  name: web
  namespace: exchange
  labels: {LABELS}
automountServiceAccountToken: false
---
apiVersion: v1
kind: Service
metadata:
  name: web
  namespace: exchange
  labels: {LABELS}
spec:
  selector: {SELECTOR}
  ports: [{{name: http, port: 80, targetPort: http}}]
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  namespace: exchange
  labels: {LABELS}
spec:
  selector:
    matchLabels: {SELECTOR}
  template:
    metadata:
      labels: {INDENTED}
    spec:
      serviceAccountName: web
      automountServiceAccountToken: false
      securityContext: {{runAsNonRoot: true, seccompProfile: {{type: RuntimeDefault}}}}
      containers:
        - name: web
          image: ghcr.io/example/web:1
          ports: [{{name: http, containerPort: 8000}}]
          resources: {{requests: {{cpu: 1, memory: 1Gi}}, limits: {{memory: 1Gi}}}}
          securityContext:
            allowPrivilegeEscalation: false
            readOnlyRootFilesystem: true
            capabilities: {{drop: [ALL]}}
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: web
  namespace: exchange
  labels: {LABELS}
data: {{settings: "password_encryption: scram-sha-256"}}
---
apiVersion: v1
kind: Secret
metadata:
  name: web
  namespace: exchange
  labels: {LABELS}
data: {{key: MTIzNDU2Nzg5MA==}}
"""
ACCOUNT, SERVICE, DEPLOYMENT, CONFIG_MAP = 0, 1, 2, 3
POD = "spec.template.spec"
CONTAINER = f"{POD}.containers.0"
KNOWN = {"web": {"repository": "ghcr.io/example/web", "tag": "1", "digest": ""}}


def good() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(GOOD))


def changed(number: int, path: str, value: Any) -> list[dict[str, Any]]:
    """Return the good objects with one value below one of them replaced; ~ stands for a dot in a key."""
    objects = good()
    place: Any = objects[number]
    *parents, last = [int(key) if key.isdigit() else key.replace("~", ".") for key in path.split(".")]
    for key in parents:
        place = place[key]
    place[last] = value
    return objects


@pytest.mark.parametrize("check", checks.ALL)
def test_good_objects_pass(check: str) -> None:
    assert checks.ALL[check](good()) == []


@pytest.mark.parametrize(
    ("check", "number", "path", "value", "expected"),
    [
        ("labels", SERVICE, "metadata.labels.app~kubernetes~io/part-of", "other", "part-of is 'other'"),
        ("labels", SERVICE, "metadata.labels", None, "label app.kubernetes.io/name is None"),
        ("labels", DEPLOYMENT, "spec.template.metadata.labels.app~kubernetes~io/managed-by", "", "pod template"),
        ("possible_names", CONFIG_MAP, "metadata.name", "web_settings", "ConfigMap exchange/web_settings: no name"),
        ("duplicates", SERVICE, "kind", "ConfigMap", "is there 2 times"),
        ("selectors", SERVICE, "spec.selector.app~kubernetes~io/version", "1", ".selector names"),
        ("selectors", DEPLOYMENT, "spec.selector.matchLabels.app~kubernetes~io/version", "1", ".matchLabels names"),
        ("selectors", DEPLOYMENT, f"{POD}.spread", [{"matchLabels": {checks.VERSION: "1"}}], "spread[0]"),
        ("workload_selectors", DEPLOYMENT, "spec.selector.matchLabels.a", "b", "its pods lack a=b"),
        ("workload_selectors", DEPLOYMENT, "spec.selector.matchLabels", {}, "lacks app.kubernetes.io/name"),
        ("services_reach_pods", SERVICE, "spec.selector.app~kubernetes~io/name", "x", "selects no pod"),
        ("services_reach_pods", SERVICE, "spec.ports.0.targetPort", "https", "no container has the port https"),
        ("pod_security", DEPLOYMENT, f"{POD}.securityContext", None, "runAsNonRoot is None"),
        ("pod_security", DEPLOYMENT, f"{POD}.securityContext.seccompProfile.type", "Unconfined", "seccompProfile"),
        ("pod_security", DEPLOYMENT, f"{POD}.hostNetwork", True, "hostNetwork is on"),
        ("container_security", DEPLOYMENT, f"{CONTAINER}.securityContext", {}, "allowPrivilegeEscalation is None"),
        ("container_security", DEPLOYMENT, f"{CONTAINER}.securityContext.readOnlyRootFilesystem", False, "is False"),
        ("container_security", DEPLOYMENT, f"{CONTAINER}.securityContext.capabilities.drop", ["CHOWN"], "not dropped"),
        ("container_security", DEPLOYMENT, f"{CONTAINER}.securityContext.privileged", True, "privileged"),
        ("container_security", DEPLOYMENT, f"{POD}.initContainers", [{"name": "init"}], "container init"),
        ("resources", DEPLOYMENT, f"{CONTAINER}.resources.limits", {"cpu": 1}, "limits.memory"),
        ("resources", DEPLOYMENT, f"{CONTAINER}.resources.requests", {"memory": "1Gi"}, "requests.cpu"),
        ("service_account_tokens", DEPLOYMENT, f"{POD}.automountServiceAccountToken", True, "has no RoleBinding"),
        ("service_account_tokens", ACCOUNT, "automountServiceAccountToken", True, "must be false"),
        ("config_map_secrets", CONFIG_MAP, "data.DB_PASSWORD", "x", "DB_PASSWORD looks like a secret"),
        ("config_map_secrets", CONFIG_MAP, "data.settings", 'restapi:\n  password: "x"', "settings looks like"),
        ("config_map_secrets", CONFIG_MAP, "data.settings", "-----BEGIN EC PRIVATE KEY-----", "settings looks like"),
        ("leaked_secrets", CONFIG_MAP, "data.settings", "a 1234567890 b", "contains key of v1 Secret exchange/web"),
    ],
)
def test_a_flaw_is_found(check: str, number: int, path: str, value: Any, expected: str) -> None:
    problems = checks.ALL[check](changed(number, path, value))
    assert any(expected in problem for problem in problems), problems


def test_a_pod_whose_account_has_a_role_may_have_the_token() -> None:
    objects = changed(DEPLOYMENT, f"{POD}.automountServiceAccountToken", value=True)
    binding = copy.deepcopy(objects[SERVICE]) | {
        "kind": "RoleBinding",
        "subjects": [{"kind": "ServiceAccount", "name": "web", "namespace": "exchange"}],
    }
    assert checks.service_account_tokens([*objects, binding]) == []


def test_an_image_from_elsewhere_is_found() -> None:
    assert checks.images(good(), KNOWN, "") == []
    assert checks.images(good(), KNOWN, "mirror.example.com") != []
    assert checks.images(changed(DEPLOYMENT, f"{CONTAINER}.image", "nginx:latest"), KNOWN, "") != []
