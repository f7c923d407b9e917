"""What holds for every object of ours. Each check takes rendered objects and returns what is wrong, one line each."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.images import image_reference
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.objects import identity, pod_template

Objects = Sequence[Mapping[str, Any]]
Check = Callable[[Objects], list[str]]

LABELS = {
    "app.kubernetes.io/name": r".+",
    "app.kubernetes.io/instance": r".+",
    "app.kubernetes.io/component": r".+",
    "app.kubernetes.io/part-of": r"cryptoexchange",
    "app.kubernetes.io/managed-by": r"ansible",
}
# The schemas don't say it. Of some kinds the API takes more.
NAME = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
# Names of roles and bindings may be anything that can be a part of a path.
RBAC_NAME = re.compile(r"[^/%]+")
VERSION = "app.kubernetes.io/version"
SECRET_KEY = re.compile(r"(?i)(password|passwd|secret|token|private[-_.]?key|api[-_.]?key)$")
SECRET_VALUE = re.compile(
    r"(?i)(BEGIN [A-Z ]*PRIVATE KEY|\b(password|passwd|secret_key|token)[\"']?\s*[:=]\s*[\"']?\w)"
)
# What has to be root, and why. It has no capability nevertheless.
ROOT = {"DaemonSet collector": "files of pods' output are readable by root alone"}
# What a Secret of ours holds that anybody may know.
PUBLIC_KEYS = frozenset({"ca.crt", "tls.crt", "username", "database"})


def pods(objects: Objects) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield each workload's name and pod spec."""
    for item in objects:
        template = pod_template(item)
        if template is not None:
            yield identity(item), template["spec"]


def containers(objects: Objects) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield each container with a name to call it by."""
    for name, spec in pods(objects):
        for container in [*(spec.get("initContainers") or []), *spec["containers"]]:
            yield f"{name} container {container['name']}", container


def labels(objects: Objects) -> list[str]:
    """Every object and pod template carries the five labels."""
    found = []
    for item in objects:
        places = {identity(item): item["metadata"].get("labels") or {}}
        template = pod_template(item)
        if template is not None:
            places[f"{identity(item)} pod template"] = template["metadata"].get("labels") or {}
        found += [
            f"{place}: label {label} is {value.get(label)!r}"
            for place, value in places.items()
            for label, pattern in LABELS.items()
            if not re.fullmatch(pattern, str(value.get(label, "")))
        ]
    return found


def possible_names(objects: Objects) -> list[str]:
    """Every name is one that the API takes of that kind of object."""
    return [
        f"{identity(item)}: no name for an object"
        for item in objects
        if not (RBAC_NAME if item["apiVersion"].startswith("rbac.") else NAME).fullmatch(item["metadata"]["name"])
    ]


def duplicates(objects: Objects) -> list[str]:
    """No object is there twice."""
    names = [identity(item) for item in objects]
    return [f"{name} is there {names.count(name)} times" for name in sorted(set(names)) if names.count(name) > 1]


def selectors_in(value: Any, path: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield every label selector below a value, with its path."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            if key == "matchLabels":
                yield f"{path}.{key}", item
            else:
                yield from selectors_in(item, f"{path}.{key}")
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from selectors_in(item, f"{path}[{number}]")


def selectors(objects: Objects) -> list[str]:
    """No selector names the version: it can't be changed in a workload, and cuts traffic off in an update."""
    found = []
    for item in objects:
        chosen = list(selectors_in(item.get("spec")))
        if item["kind"] == "Service" and "selector" in item["spec"]:
            chosen.append((".selector", item["spec"]["selector"]))
        found += [f"{identity(item)} {path} names {VERSION}" for path, labels in chosen if VERSION in labels]
    return found


def workload_selectors(objects: Objects) -> list[str]:
    """A workload selects its own pods, and at least by name, instance and component."""
    found = []
    for item in objects:
        template = pod_template(item)
        if template is None or item["kind"] in {"Job", "CronJob"}:
            continue
        wanted = item["spec"]["selector"]["matchLabels"]
        has = template["metadata"]["labels"]
        found += [f"{identity(item)}: its pods lack {k}={v}" for k, v in wanted.items() if has.get(k) != v]
        found += [
            f"{identity(item)}: its selector lacks {label}"
            for label in ("app.kubernetes.io/name", "app.kubernetes.io/instance", "app.kubernetes.io/component")
            if label not in wanted
        ]
    return found


def services_reach_pods(objects: Objects) -> list[str]:
    """A Service whose pods are in the same set selects some, and names ports that one of their containers has."""
    found = []
    workloads = [(item, pod_template(item)) for item in objects if pod_template(item) is not None]
    for item in objects:
        chosen = item["spec"].get("selector") if item["kind"] == "Service" else None
        if not chosen or not workloads:
            continue
        ours = {k: v for k, v in chosen.items() if k.startswith("app.kubernetes.io/")}
        matched = [t for _, t in workloads if t and ours.items() <= t["metadata"]["labels"].items()]
        if not matched:
            found.append(f"{identity(item)} selects no pod of this set: {ours}")
        ports = {p.get("name") for t in matched for c in t["spec"]["containers"] for p in c.get("ports") or []}
        found += [
            f"{identity(item)} port {port['name']}: no container has the port {port['targetPort']}"
            for port in item["spec"]["ports"]
            if matched and isinstance(port.get("targetPort"), str) and port["targetPort"] not in ports
        ]
    return found


def pod_security(objects: Objects) -> list[str]:
    """Pods run as a user, under the runtime's seccomp profile."""
    found = []
    for name, spec in pods(objects):
        context = spec.get("securityContext") or {}
        _, kind, place = name.split(" ")
        if context.get("runAsNonRoot") is not True and f"{kind} {place.split('/')[1]}" not in ROOT:
            found.append(f"{name}: runAsNonRoot is {context.get('runAsNonRoot')}")
        if (context.get("seccompProfile") or {}).get("type") != "RuntimeDefault":
            found.append(f"{name}: seccompProfile is {context.get('seccompProfile')}")
        found += [f"{name}: {field} is on" for field in ("hostNetwork", "hostPID", "hostIPC") if spec.get(field)]
    return found


def container_security(objects: Objects) -> list[str]:
    """Containers gain no privileges and write to volumes alone."""
    found = []
    for name, container in containers(objects):
        context = container.get("securityContext") or {}
        if context.get("allowPrivilegeEscalation") is not False:
            found.append(f"{name}: allowPrivilegeEscalation is {context.get('allowPrivilegeEscalation')}")
        if context.get("readOnlyRootFilesystem") is not True:
            found.append(f"{name}: readOnlyRootFilesystem is {context.get('readOnlyRootFilesystem')}")
        if "ALL" not in ((context.get("capabilities") or {}).get("drop") or []):
            found.append(f"{name}: capabilities are not dropped: {context.get('capabilities')}")
        if context.get("privileged"):
            found.append(f"{name}: privileged")
    return found


def resources(objects: Objects) -> list[str]:
    """Containers say what they need, and how much memory they get at most."""
    return [
        f"{name}: resources.{group}.{kind} is missing"
        for name, container in containers(objects)
        for group, kind in (("requests", "cpu"), ("requests", "memory"), ("limits", "memory"))
        if not ((container.get("resources") or {}).get(group) or {}).get(kind)
    ]


def service_account_tokens(objects: Objects) -> list[str]:
    """A pod gets a token of the API only if its ServiceAccount may do something with it."""
    bound = {
        (subject.get("namespace") or item["metadata"].get("namespace"), subject["name"])
        for item in objects
        if item["kind"] in {"RoleBinding", "ClusterRoleBinding"}
        for subject in item.get("subjects") or []
        if subject["kind"] == "ServiceAccount"
    }
    found = [
        f"{identity(item)}: automountServiceAccountToken must be false; pods that need the token say so"
        for item in objects
        if item["kind"] == "ServiceAccount" and item.get("automountServiceAccountToken") is not False
    ]
    for item in objects:
        template = pod_template(item)
        if template is None or template["spec"].get("automountServiceAccountToken") is False:
            continue
        account = template["spec"].get("serviceAccountName", "default")
        if (item["metadata"].get("namespace"), account) not in bound:
            found.append(f"{identity(item)}: gets the token of ServiceAccount {account}, which has no RoleBinding")
    return found


def config_map_secrets(objects: Objects) -> list[str]:
    """No ConfigMap holds what looks like a secret."""
    return [
        f"{identity(item)}: {key} looks like a secret"
        for item in objects
        if item["kind"] == "ConfigMap"
        for key, value in (item.get("data") or {}).items()
        if SECRET_KEY.search(key) or SECRET_VALUE.search(str(value))
    ]


def leaked_secrets(objects: Objects) -> list[str]:
    """What a Secret holds stands in no other object."""
    secrets = {
        (identity(item), key): base64.b64decode(value).decode(errors="replace").strip()
        for item in objects
        if item["kind"] == "Secret"
        for key, value in (item.get("data") or {}).items()
        if key not in PUBLIC_KEYS
    }
    return [
        f"{identity(item)} contains {key} of {name}"
        for item in objects
        if item["kind"] != "Secret"
        for (name, key), value in secrets.items()
        if len(value) >= 8 and value in str(item)
    ]


def images(objects: Objects, known: Mapping[str, Mapping[str, str]], mirror: str) -> list[str]:
    """Every image is one of platform_images, through the mirror if there is one."""
    allowed = {image_reference(image, mirror) for image in known.values()}
    return [
        f"{name}: image {container['image']} is not in platform_images"
        for name, container in containers(objects)
        if container["image"] not in allowed
    ]


ALL: dict[str, Check] = {
    check.__name__: check
    for check in (
        labels,
        possible_names,
        duplicates,
        selectors,
        workload_selectors,
        services_reach_pods,
        pod_security,
        container_security,
        resources,
        service_account_tokens,
        config_map_secrets,
        leaked_secrets,
    )
}
