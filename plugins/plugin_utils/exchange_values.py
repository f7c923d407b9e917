"""The chart's values from the role's variables. Pure."""

from __future__ import annotations

import hashlib
import hmac
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from ansible_collections.cryptoexchange.platform.plugins.filter.ingress_annotations import ingress_annotations
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.objects import plain

Values = dict[str, Any]

DATABASE_SECRET = "exchange-database"  # noqa: S105  # a Secret's name
GENERATED_SECRET = "exchange-secrets"  # noqa: S105
ADMIN_SECRET = "exchange-admin"  # noqa: S105
TLS_SECRET = "exchange-tls"  # noqa: S105
# Seconds between two tries of the startup probe.
STARTUP_PERIOD = 2


def camel(name: str) -> str:
    """Return a variable's key as the chart writes it: min_replicas -> minReplicas."""
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


def given(settings: Mapping[str, Any], *names: str) -> Values:
    """Return those settings that are there, under the chart's names; the chart has the defaults of the others."""
    return {camel(name): settings[name] for name in names if settings.get(name) is not None}


def secret_env(entries: Sequence[Mapping[str, Any]] | None) -> Values:
    """Return variables from Secrets as the chart takes them."""
    return {entry["name"]: {"secret": entry["secret"], "key": entry["key"]} for entry in entries or []}


def image(app: Mapping[str, Any], platform: Mapping[str, Any], running: Mapping[str, Any]) -> tuple[Values, str]:
    """Return the image to deploy, and where its tag comes from.

    A tag in the inventory wins. Otherwise what runs stays, so that nothing takes back what continuous delivery has
    deployed; a tag of another repository means nothing here.
    """
    wanted = app["exchange_app_image"]
    mirror = platform["image_registry"].rstrip("/")
    repository = f"{mirror}/{wanted['repository']}" if mirror else wanted["repository"]
    live = running.get("image") or {}
    if app["exchange_app_image_tag"]:
        tag, digest, source = app["exchange_app_image_tag"], "", "exchange_app_image_tag"
    elif live.get("repository") == repository:
        tag, digest, source = live.get("tag") or "", live.get("digest") or "", "kept from the running release"
    else:
        tag, digest, source = wanted.get("tag") or "", wanted.get("digest") or "", "exchange_app_image"
    pull = [platform["image_pull_secret"]] if platform["image_pull_secret"] else []
    policy = app["exchange_app_image_pull_policy"]
    return {"repository": repository, "tag": tag, "digest": digest, "pullPolicy": policy, "pullSecrets": pull}, source


def pooled(platform: Mapping[str, Any]) -> bool:
    """Say whether the database in use is ours, behind the pooler of roles/postgres."""
    elsewhere: bool = platform["database_host"] != platform["database_primary_host"]
    return elsewhere and platform["database_mode"] == "internal"


def database(app: Mapping[str, Any], platform: Mapping[str, Any]) -> Values:
    """Return where the database is and what the image calls its values."""
    return {
        "host": platform["database_host"],
        # Migrations and workers hold locks for their sessions, which a pooler may share with others.
        "directHost": platform["database_primary_host"] if pooled(platform) else "",
        "port": platform["database_port"],
        "name": platform["database_name"],
        "sslmode": platform["database_sslmode"],
        "secret": DATABASE_SECRET,
        "caKey": "ca.crt" if platform["database_ca"] else "",
        "env": dict(app["exchange_app_database_env"]),
        "url": {"scheme": app["exchange_app_database_url_scheme"]},
        "libpq": {"enabled": app["exchange_app_database_libpq"]},
    }


def probes(app: Mapping[str, Any]) -> Values:
    """Return how Kubernetes sees whether a web pod works."""
    settings = app["exchange_app_probes"]
    timeout = given(settings, "timeout_seconds")
    values: Values = {**given(settings, "type", "host")}
    for kind in ("startup", "liveness", "readiness"):
        values[kind] = dict(timeout)
        if settings.get(f"{kind}_path"):
            values[kind]["path"] = settings[f"{kind}_path"]
    if settings.get("startup_seconds"):
        values["startup"] |= {
            "periodSeconds": STARTUP_PERIOD,
            "failureThreshold": math.ceil(settings["startup_seconds"] / STARTUP_PERIOD),
        }
    return values


def media(app: Mapping[str, Any]) -> Values:
    """Return where uploads are kept."""
    settings = app["exchange_app_media"]
    claim = given(settings, "size", "storage_class", "access_mode")
    return {
        **given(settings, "type", "path"),
        "pvc": {**claim, "existingClaim": settings.get("claim") or ""},
        "s3": given(settings, "bucket", "endpoint", "region", "secret"),
    }


def migrate(app: Mapping[str, Any]) -> Values:
    """Return what is run before each new version."""
    steps = [given(step, "name", "command", "args", "env") for step in app["exchange_app_migrate_steps"]]
    if app["exchange_app_admin_command"]:
        keys = {"ADMIN_USERNAME": "username", "ADMIN_PASSWORD": "password", "ADMIN_EMAIL": "email"}
        references = {name: {"secret": ADMIN_SECRET, "key": key} for name, key in keys.items()}
        steps.append({"name": "create-admin", "command": app["exchange_app_admin_command"], "secretEnv": references})
    return {
        "enabled": app["exchange_app_migrate"],
        "steps": steps,
        "lockTimeoutSeconds": app["exchange_app_migrate_lock_timeout_seconds"],
        "lockTimeoutEnv": app["exchange_app_migrate_lock_timeout_env"],
        "deadlineSeconds": app["exchange_app_migrate_deadline_seconds"],
    }


def processes(entries: Sequence[Mapping[str, Any]], *names: str) -> Values:
    """Return workers or scheduled processes by name."""
    shared = ("command", "args", "env", "resources")
    return {
        entry["name"]: {
            **given(entry, *shared, *names),
            **({"secretEnv": secret_env(entry["secret_env"])} if entry.get("secret_env") else {}),
        }
        for entry in entries
    }


def peers(entries: Sequence[Mapping[str, Any]]) -> list[Values]:
    """Return who may reach a port."""
    return [given(entry, "namespace", "pod_labels") for entry in entries]


def network_policy(app: Mapping[str, Any], platform: Mapping[str, Any]) -> Values:
    """Return who may reach the pods, and what they may reach."""
    if platform["database_mode"] == "internal":
        # Behind a pooler both: the database's namespace lets in whom it wants itself.
        component = {} if pooled(platform) else {"app.kubernetes.io/component": "database"}
        labels = {**component, "app.kubernetes.io/instance": platform["instance"]}
        place: Values = {"namespace": platform["namespace_database"], "podLabels": labels}
    else:
        place = {"cidrs": list(app["exchange_app_database_networks"])}
    return {
        "ingressControllers": peers(app["exchange_app_ingress_from"]),
        "scrapers": peers(app["exchange_app_metrics_from"]),
        "database": place,
        "extraEgress": list(app["exchange_app_extra_egress"]),
    }


def ingress(app: Mapping[str, Any], platform: Mapping[str, Any]) -> Values:
    """Return the way in: written once, annotated for the controller in use."""
    texts = ingress_annotations(app["exchange_app_ingress_settings"], platform["ingress_controller"])
    if platform["tls_mode"] == "cert_manager":
        kind = "cluster-issuer" if platform["tls_issuer_kind"] == "ClusterIssuer" else "issuer"
        texts[f"cert-manager.io/{kind}"] = platform["tls_issuer_name"]
    return {
        "enabled": app["exchange_app_ingress"],
        "className": platform["ingress_class"],
        "annotations": texts,
        "tlsSecret": TLS_SECRET,
    }


def autoscaling(settings: Mapping[str, Any]) -> Values:
    """Return when there are how many web pods."""
    values = given(
        settings, "enabled", "min_replicas", "max_replicas", "cpu_percent", "memory_percent",
        "requests_in_flight", "prometheus_address",
        "scale_up_stabilization_seconds", "scale_down_stabilization_seconds",
    )  # fmt: skip
    if settings.get("source"):
        values["source"] = camel(settings["source"])
    if settings.get("latency_p95_ms"):
        values["latencyP95Milliseconds"] = settings["latency_p95_ms"]
    return values


def merged(base: Mapping[str, Any], more: Mapping[str, Any]) -> Values:
    """Return one map over another, level by level; lists are replaced."""
    result = dict(base)
    for key, value in more.items():
        both = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
        result[key] = merged(result[key], value) if both else value
    return result


def values(
    app: Mapping[str, Any],
    platform: Mapping[str, Any],
    release: Mapping[str, Any],
    checksums: Mapping[str, str],
) -> Values:
    """Return the chart's values.

    Args:
        app: the role's variables by name.
        platform: variables of roles/platform without their prefix, `database_ca` of the database in use,
            `database_primary_host` of ours, and `ingress_controller`.
        release: what helm_release.state() returned.
        checksums: `chart`: of the chart's files; `secrets`: of the Secrets' content.
    """
    app, platform = plain(app), plain(platform)
    chosen, _ = image(app, platform, release["running"])
    generated = [
        name for name in [app["exchange_app_secret_key_env"], *app["exchange_app_generated_secret_env"]] if name
    ]
    collect = app["exchange_app_collectstatic_command"]
    own: Values = {
        "nameOverride": app["exchange_app_release"],
        "instance": platform["instance"],
        "image": chosen,
        "env": app["exchange_app_env"],
        "secretEnv": {
            **{name: {"secret": GENERATED_SECRET, "key": name} for name in generated},
            **secret_env(app["exchange_app_secret_env"]),
        },
        "envFrom": [{"secretRef": {"name": name}} for name in app["exchange_app_env_from_secrets"]],
        "hosts": [platform["domain"], *app["exchange_app_extra_hosts"]],
        "hostsEnv": given(app["exchange_app_hosts_env"], "allowed_hosts", "csrf_trusted_origins", "separator"),
        "database": database(app, platform),
        "writablePaths": [given(entry, "path", "seed", "size_limit") for entry in app["exchange_app_writable_paths"]],
        "media": media(app),
        "podSecurity": {
            "runAsUser": app["exchange_app_uid"],
            "runAsGroup": app["exchange_app_gid"],
            "fsGroup": app["exchange_app_gid"],
        },
        "checksums": {"secrets": checksums["secrets"]},
        "priorityClassName": app["exchange_app_priority_class"],
        "nodeSelector": app["exchange_app_node_selector"],
        "tolerations": app["exchange_app_tolerations"],
        "web": {
            "replicas": app["exchange_app_replicas"],
            "command": app["exchange_app_command"],
            "args": app["exchange_app_args"],
            "port": app["exchange_app_port"],
            "resources": app["exchange_app_resources"],
            "preStopSeconds": app["exchange_app_pre_stop_seconds"],
            "gracefulTimeoutSeconds": app["exchange_app_graceful_timeout_seconds"],
            "gracefulTimeoutEnv": app["exchange_app_graceful_timeout_env"],
            "terminationGraceSeconds": app["exchange_app_termination_grace_seconds"],
        },
        "probes": probes(app),
        "metrics": given(app["exchange_app_metrics"], "enabled", "port", "path"),
        "autoscaling": autoscaling(app["exchange_app_autoscaling"]),
        "podDisruptionBudget": {"maxUnavailable": app["exchange_app_max_unavailable"]},
        "migrate": migrate(app),
        "collectStatic": {
            "enabled": bool(collect),
            "path": app["exchange_app_collectstatic_path"],
            **({"command": collect} if collect else {}),
        },
        "workers": processes(
            app["exchange_app_workers"], "replicas", "liveness_command", "termination_grace_seconds", "strategy"
        ),
        "cronJobs": processes(
            app["exchange_app_cron_jobs"],
            "schedule", "time_zone", "suspend", "concurrency_policy", "deadline_seconds", "backoff_limit",
        ),
        "ingress": ingress(app, platform),
        "networkPolicy": network_policy(app, platform),
        "bookkeeping": {"chartChecksum": checksums["chart"], "retryOfRevision": retry_of(release)},
    }  # fmt: skip
    result: Values = merged(own, app["exchange_app_extra_values"])
    return result


def generated_names(secret_key: str, others: Sequence[str]) -> list[str]:
    """Return the names of the variables whose values are generated once."""
    return [name for name in [secret_key, *others] if name]


def retry_of(release: Mapping[str, Any]) -> int:
    """Return the revision that has to be tried again: with the same values as before Helm would do nothing."""
    if release["status"] in {"none", "deployed"}:
        return int(((release["config"].get("bookkeeping") or {}).get("retryOfRevision")) or 0)
    return int(release["revision"])


def plan(
    app: Mapping[str, Any],
    platform: Mapping[str, Any],
    release: Mapping[str, Any],
    checksums: Mapping[str, str],
) -> Values:
    """Return what an installation or upgrade would do. Arguments as of values().

    Returns:
        chart_values: the chart's; changed: whether Helm has to be called; image: reference, and image_source: where
        its tag comes from; autoscaling_begins: the running release has no autoscaler and the new one has.
    """
    wanted = values(app, platform, release, checksums)
    chosen, source = image(plain(app), plain(platform), release["running"])
    suffix = f"@{chosen['digest']}" if chosen["digest"] else f":{chosen['tag']}"
    running = release["running"]
    scaled = bool((running.get("autoscaling") or {}).get("enabled"))
    return {
        "chart_values": wanted,
        "changed": release["status"] != "deployed" or json.loads(json.dumps(wanted)) != release["config"],
        "image": chosen["repository"] + suffix,
        "image_source": source,
        "autoscaling_begins": bool(running) and not scaled and bool(wanted["autoscaling"].get("enabled")),
    }


def secrets_checksum(secrets: Mapping[str, Mapping[str, str]], names: Sequence[str], key: str) -> str:
    """Return a hash that changes with the content of Secrets, and from which nobody can try out passwords.

    Args:
        secrets: `namespace/name` -> key -> text.
        names: which of them.
        key: what the hash is keyed with: a long random text that only those know who may read the Secrets.
    """
    content = json.dumps([[name, dict(sorted((secrets.get(name) or {}).items()))] for name in names])
    return hmac.new(key.encode(), content.encode(), hashlib.sha256).hexdigest()[:16]


def url_encoded(text: str) -> str:
    """Return a text as a part of a URL."""
    return quote(text, safe="")
