"""Rules across the variables of roles/platform."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.cryptoexchange.platform.plugins.plugin_utils import checks
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.certificates import key_pair_error
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.preflight import Finding

# Settings in the environment that kubernetes.core would mix into a connection that a kubeconfig names.
_OVERRIDES = (
    "K8S_AUTH_HOST", "K8S_AUTH_API_KEY", "K8S_AUTH_USERNAME", "K8S_AUTH_PASSWORD", "K8S_AUTH_CERT_FILE",
    "K8S_AUTH_KEY_FILE", "K8S_AUTH_SSL_CA_CERT", "K8S_AUTH_CA_CERT", "K8S_AUTH_PROXY",
    "K8S_AUTH_IMPERSONATE_USER", "K8S_AUTH_IMPERSONATE_GROUPS", "K8S_AUTH_TLS_SERVER_NAME",
)  # fmt: skip
_WITH_HOST = ("K8S_AUTH_HOST", "K8S_AUTH_API_KEY", "K8S_AUTH_SSL_CA_CERT")
_NAMESPACES = ("system", "ingress", "database", "app", "backup", "monitoring", "node_agents", "metrics")
_VERIFY = ("K8S_AUTH_VERIFY_SSL", "K8S_AUTH_VALIDATE_CERTS")


def errors(values: Mapping[str, Any]) -> list[Finding]:
    """Return what is wrong with names, TLS, images and the external database."""
    found: list[Finding] = []

    def check(name: str, problem: str) -> None:
        if problem:
            found.append(Finding(name, values[name], problem))

    check("platform_domain", checks.host_name(values["platform_domain"]))
    check("platform_instance", checks.dns_label(values["platform_instance"]))
    for part in _NAMESPACES:
        check(f"platform_namespace_{part}", checks.dns_label(values[f"platform_namespace_{part}"]))
    namespaces = [values[f"platform_namespace_{part}"] for part in _NAMESPACES]
    if len(set(namespaces)) < len(namespaces):
        found.append(Finding("platform_namespace_*", namespaces, f"expected {len(namespaces)} different namespaces"))
    check("platform_ingress_class", checks.dns_label(values["platform_ingress_class"]))
    for name in ("platform_storage_class", "platform_image_pull_secret", "platform_tls_issuer_name"):
        check(name, values[name] and checks.object_name(values[name]))
    check(
        "platform_image_registry",
        values["platform_image_registry"] and checks.image_registry(values["platform_image_registry"]),
    )
    # The API's own limit.
    length = len(values["platform_field_manager"])
    check("platform_field_manager", "" if 0 < length <= 128 else "expected 1 to 128 characters")  # noqa: PLR2004
    check("platform_database_name", "" if values["platform_database_name"] else "expected a database's name")
    check("platform_database_host", checks.host_or_address(values["platform_database_host"]))
    check("platform_database_port", checks.port(values["platform_database_port"]))
    check("platform_wait_timeout_seconds", checks.between(values["platform_wait_timeout_seconds"], 10, 7200))
    for name, image in values["platform_images"].items():
        problem = checks.image(image["repository"], image.get("tag") or "", image.get("digest") or "")
        if problem:
            found.append(Finding(f"platform_images.{name}", image, problem))
    return found + tls_errors(values) + database_errors(values)


def tls_errors(values: Mapping[str, Any]) -> list[Finding]:
    """Return what the chosen TLS mode lacks."""
    mode = values["platform_tls_mode"]
    if mode == "cert_manager" and not values["platform_tls_issuer_name"]:
        return [
            Finding(
                "platform_tls_issuer_name", "", "expected the issuer's name, since platform_tls_mode is cert_manager"
            )
        ]
    if mode != "provided":
        return []
    needed = ("platform_tls_certificate", "platform_tls_private_key")
    missing = [
        Finding(name, "", "expected PEM text, since platform_tls_mode is provided")
        for name in needed
        if not values[name]
    ]
    if missing:
        return missing
    problem = key_pair_error(
        values["platform_tls_certificate"], values["platform_tls_private_key"], values["platform_domain"]
    )
    return [Finding("platform_tls_certificate", "(PEM)", problem)] if problem else []


def database_errors(values: Mapping[str, Any]) -> list[Finding]:
    """Return what an external database lacks."""
    if values["platform_database_mode"] != "external":
        return []
    needed = ["platform_database_user", "platform_database_password"]
    if values["platform_database_sslmode"] in {"verify-ca", "verify-full"}:
        needed.append("platform_database_ca")
    reason = "expected a value, since platform_database_mode is external"
    return [Finding(name, "", reason) for name in needed if not values[name]]


def connection_errors(values: Mapping[str, Any], ambient: Mapping[str, str]) -> list[str]:
    """Return why it isn't certain which cluster a play would change.

    Args:
        values: variables of roles/platform.
        ambient: the K8S_AUTH_* variables of the environment.
    """
    found = []
    kubeconfig, host = values.get("platform_kubeconfig"), values.get("platform_api_host")
    if not kubeconfig and not host:
        found.append(
            "platform_kubeconfig is '' and platform_api_host is '': expected one of them, since without either "
            "a play in a pod would change the cluster that it runs in"
        )
    if not kubeconfig and host and not values.get("platform_api_token"):
        found.append("platform_api_token is '': expected a bearer token, since platform_api_host is set")
    if not kubeconfig and host and (problem := checks.https_url(host)):
        found.append(f"platform_api_host is {host!r}: {problem}")
    if not values.get("platform_cluster_uid") and not values.get("platform_cluster_api_host"):
        found.append(
            "platform_cluster_uid is '' and platform_cluster_api_host is '': expected at least one of them, so that no "
            "other cluster is changed (kubectl get namespace kube-system -o jsonpath={.metadata.uid})"
        )
    mixed = _OVERRIDES if kubeconfig else tuple(name for name in _OVERRIDES if name not in _WITH_HOST)
    meant = "platform_kubeconfig" if kubeconfig else "platform_api_host"
    found += [
        f"{name} is set in the environment and would change the connection that {meant} names: unset it"
        for name in mixed
        if ambient.get(name)
    ]
    found += [
        f"{name} is {ambient[name]!r} in the environment: TLS verification must stay on; unset it and name the CA"
        for name in _VERIFY
        if ambient.get(name, "true").lower() in {"0", "false", "no"}
    ]
    return found
