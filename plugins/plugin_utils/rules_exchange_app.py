"""Rules across the variables of roles/exchange_app."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.cryptoexchange.platform.plugins.filter.ingress_annotations import ingress_annotations
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils import checks
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.postgres_tuning import (
    OTHER_CONNECTIONS,
    role_parameters,
)
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.preflight import Finding
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.quantity import parse_quantity

Values = Mapping[str, Any]

# Names that the chart gives its own processes.
RESERVED = ("web", "migrate", "media")
# Top-level values of the chart.
CHART_VALUES = frozenset(
    {
        "nameOverride", "instance", "partOf", "image", "env", "secretEnv", "envFrom", "hosts", "hostsEnv", "database",
        "writablePaths", "media", "volumes", "volumeMounts", "podSecurity", "serviceAccount", "podLabels",
        "podAnnotations", "checksums", "priorityClassName", "nodeSelector", "tolerations", "affinity", "topologySpread",
        "web", "probes", "metrics", "autoscaling", "podDisruptionBudget", "migrate", "collectStatic", "workers",
        "cronJobs", "processResources", "service", "ingress", "networkPolicy", "bookkeeping",
    }
)  # fmt: skip
# A pod of a Django application takes at least so long until it is ready.
START_SECONDS = 5
_PROCESS_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,20}[a-z0-9])?")
_RELEASE_NAME = re.compile(r"[a-z]([-a-z0-9]{0,38}[a-z0-9])?")
_ADMIN_NAME = re.compile(r"[\w.@+-]{3,150}")
_PATH = re.compile(r"/[^\s:]*[^\s:/]")
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*")
_RESOURCE = re.compile(r"cpu|memory|ephemeral-storage|hugepages-.+|.+/.+")

# Whole numbers: lowest and highest.
_RANGES = {
    "exchange_app_timeout_seconds": (30, 7200),
    "exchange_app_history": (1, 100),
    "exchange_app_replicas": (1, 1000),
    "exchange_app_connections_per_pod": (0, 10_000),
    # A process that isn't root can't listen below.
    "exchange_app_port": (1024, 65535),
    "exchange_app_pre_stop_seconds": (0, 600),
    "exchange_app_graceful_timeout_seconds": (0, 3600),
    "exchange_app_termination_grace_seconds": (1, 7200),
    "exchange_app_migrate_lock_timeout_seconds": (1, 600),
    "exchange_app_migrate_deadline_seconds": (10, 7200),
    "exchange_app_uid": (0, 4294967294),
    "exchange_app_gid": (0, 4294967294),
    "exchange_app_max_unavailable": (1, 1000),
}
# Names of environment variables that may be empty.
_ENV_NAMES = (
    "exchange_app_graceful_timeout_env",
    "exchange_app_secret_key_env",
    "exchange_app_migrate_lock_timeout_env",
)


def errors(values: Values) -> list[Finding]:
    """Return what is wrong with the application's image, processes, environment, files and network."""
    found = [
        Finding(name, values[name], problem)
        for name, limits in _RANGES.items()
        if (problem := checks.between(values[name], *limits))
    ]
    parts = (
        names, images, timing, environment, probes, workers, cron_jobs, migrations, files, scaling, connections,
        network,
    )  # fmt: skip
    for part in parts:
        found += [Finding(path, value, problem) for path, value, problem in part(values) if problem]
    return found


Problems = Iterator[tuple[str, Any, str]]


def matches(pattern: re.Pattern[str], value: str, expected: str) -> str:
    """Return what was expected of a text that doesn't match as a whole."""
    return "" if pattern.fullmatch(value) else f"expected {expected}"


def names(values: Values) -> Problems:
    """Check names of objects, hosts and people."""
    release, user = values["exchange_app_release"], values["exchange_app_admin_username"]
    expected = "lower-case letters, digits and '-', beginning with a letter, at most 40 characters"
    yield "exchange_app_release", release, matches(_RELEASE_NAME, release, expected)
    yield "exchange_app_admin_username", user, matches(_ADMIN_NAME, user, "3 to 150 letters, digits and @.+-_")
    mail = values["exchange_app_admin_email"]
    if mail:
        pattern = re.compile(r"[^@\s]+@[^@\s]+")
        yield "exchange_app_admin_email", mail, matches(pattern, mail, "a mail address")
    for index, host in enumerate(values["exchange_app_extra_hosts"]):
        yield f"exchange_app_extra_hosts[{index}]", host, checks.host_name(host)
    for index, secret in enumerate(values["exchange_app_env_from_secrets"]):
        yield f"exchange_app_env_from_secrets[{index}]", secret, checks.host_name(secret)
    if values["exchange_app_priority_class"]:
        name = values["exchange_app_priority_class"]
        yield "exchange_app_priority_class", name, checks.host_name(name)
    for key in values["exchange_app_extra_values"]:
        known = "" if key in CHART_VALUES else "expected a value of the chart (charts/exchange/values.yaml)"
        yield f"exchange_app_extra_values.{key}", values["exchange_app_extra_values"][key], known


def images(values: Values) -> Problems:
    """Check the image and the tag to be deployed."""
    image, tag = values["exchange_app_image"], values["exchange_app_image_tag"]
    problem = checks.image(image["repository"], image.get("tag") or tag, image.get("digest") or "")
    yield "exchange_app_image", image, problem
    if tag:
        yield "exchange_app_image_tag", tag, checks.image("x", tag, "")


def timing(values: Values) -> Problems:
    """Check that a pod that is told to go isn't killed before it has finished its requests."""
    needed = values["exchange_app_pre_stop_seconds"] + values["exchange_app_graceful_timeout_seconds"]
    grace = values["exchange_app_termination_grace_seconds"]
    short = f"expected more than {needed}: exchange_app_pre_stop_seconds + exchange_app_graceful_timeout_seconds"
    yield "exchange_app_termination_grace_seconds", grace, "" if grace > needed else short
    deadline, timeout = values["exchange_app_migrate_deadline_seconds"], values["exchange_app_timeout_seconds"]
    late = f"expected less than exchange_app_timeout_seconds ({timeout}), or Helm gives up first"
    yield "exchange_app_migrate_deadline_seconds", deadline, "" if deadline < timeout else late


def environment_map(path: str, entries: Mapping[str, Any] | None) -> Problems:
    """Check a map of environment variables."""
    for name, text in (entries or {}).items():
        yield f"{path}.{name}", name, checks.environment_name(str(name))
        plain = isinstance(text, (str, int, float, bool))
        yield f"{path}.{name}", text, "" if plain else "expected text, a number or a boolean"


def secret_variables(path: str, entries: list[Mapping[str, Any]] | None) -> Problems:
    """Check a list of variables from Secrets."""
    for index, entry in enumerate(entries or []):
        yield f"{path}[{index}].name", entry["name"], checks.environment_name(entry["name"])
        yield f"{path}[{index}].secret", entry["secret"], checks.host_name(entry["secret"])


def environment(values: Values) -> Problems:
    """Check names of environment variables wherever they are given."""
    yield from environment_map("exchange_app_env", values["exchange_app_env"])
    yield from secret_variables("exchange_app_secret_env", values["exchange_app_secret_env"])
    for variable in _ENV_NAMES:
        if values[variable]:
            yield variable, values[variable], checks.environment_name(values[variable])
    for index, name in enumerate(values["exchange_app_generated_secret_env"]):
        yield f"exchange_app_generated_secret_env[{index}]", name, checks.environment_name(name)
    hosts = {key: name for key, name in values["exchange_app_hosts_env"].items() if key != "separator"}
    for variable, entries in (
        ("exchange_app_hosts_env", hosts),
        ("exchange_app_database_env", values["exchange_app_database_env"]),
    ):
        for key, name in entries.items():
            if name:
                yield f"{variable}.{key}", name, checks.environment_name(name)
    scheme = values["exchange_app_database_url_scheme"]
    expected = "a scheme such as postgres or postgresql+psycopg"
    yield "exchange_app_database_url_scheme", scheme, matches(_SCHEME, scheme, expected)


def probes(values: Values) -> Problems:
    """Check probes and metrics."""
    settings = values["exchange_app_probes"]
    for key in ("startup_path", "liveness_path", "readiness_path"):
        path = settings[key]
        good = path.startswith("/") and not re.search(r"\s", path)
        yield f"exchange_app_probes.{key}", path, "" if good else "expected a path such as /healthz"
    if settings["host"]:
        yield "exchange_app_probes.host", settings["host"], checks.host_or_address(settings["host"])
    yield (
        "exchange_app_probes.startup_seconds",
        settings["startup_seconds"],
        checks.between(settings["startup_seconds"], 2, 2000),
    )
    yield (
        "exchange_app_probes.timeout_seconds",
        settings["timeout_seconds"],
        checks.between(settings["timeout_seconds"], 1, 3600),
    )
    metrics = values["exchange_app_metrics"]
    if metrics["enabled"]:
        yield "exchange_app_metrics.port", metrics["port"], checks.between(metrics["port"], 1024, 65535)
        good = metrics["path"].startswith("/")
        yield "exchange_app_metrics.path", metrics["path"], "" if good else "expected a path such as /metrics"


def resources(path: str, entries: Mapping[str, Any] | None) -> Problems:
    """Check requests and limits, and that no request is above its limit."""
    amounts: dict[tuple[str, str], Any] = {}
    for side in ("requests", "limits"):
        for name, amount in ((entries or {}).get(side) or {}).items():
            here = f"{path}.{side}.{name}"
            yield here, name, matches(_RESOURCE, str(name), "cpu, memory, ephemeral-storage or an extended resource")
            problem = checks.quantity(str(amount))
            yield here, amount, problem
            if not problem:
                amounts[side, name] = amount
    for (side, name), amount in amounts.items():
        limit = amounts.get(("limits", name))
        if side == "requests" and limit is not None and parse_quantity(str(amount)) > parse_quantity(str(limit)):
            yield f"{path}.requests.{name}", amount, f"expected at most the limit, {limit}"


def process(path: str, entry: Mapping[str, Any], taken: Counter[str]) -> Problems:
    """Check what workers and scheduled processes have in common."""
    name = entry["name"]
    expected = "lower-case letters, digits and '-', at most 22 characters"
    yield f"{path}.name", name, matches(_PROCESS_NAME, name, expected)
    yield f"{path}.name", name, f"expected another name than {', '.join(RESERVED)}" if name in RESERVED else ""
    yield f"{path}.name", name, "expected a name of its own" if taken[name] > 1 else ""
    yield path, entry, "" if entry.get("command") or entry.get("args") else "expected command or args"
    yield from environment_map(f"{path}.env", entry.get("env"))
    yield from secret_variables(f"{path}.secret_env", entry.get("secret_env"))
    yield from resources(f"{path}.resources", entry.get("resources"))


def process_names(values: Values) -> Counter[str]:
    """Return how often each name of a process is used."""
    return Counter(entry["name"] for entry in [*values["exchange_app_workers"], *values["exchange_app_cron_jobs"]])


def workers(values: Values) -> Problems:
    """Check web pods' resources and further processes."""
    yield from resources("exchange_app_resources", values["exchange_app_resources"])
    for index, entry in enumerate(values["exchange_app_workers"]):
        path = f"exchange_app_workers[{index}]"
        yield from process(path, entry, process_names(values))
        yield f"{path}.replicas", entry["replicas"], checks.between(entry["replicas"], 0, 1000)
        grace = entry["termination_grace_seconds"]
        yield f"{path}.termination_grace_seconds", grace, checks.between(grace, 1, 7200)


def cron_jobs(values: Values) -> Problems:
    """Check scheduled processes."""
    for index, entry in enumerate(values["exchange_app_cron_jobs"]):
        path = f"exchange_app_cron_jobs[{index}]"
        yield from process(path, entry, process_names(values))
        yield f"{path}.schedule", entry["schedule"], checks.cron(entry["schedule"])
        yield (
            f"{path}.deadline_seconds",
            entry["deadline_seconds"],
            checks.between(entry["deadline_seconds"], 1, 604800),
        )
        yield f"{path}.backoff_limit", entry["backoff_limit"], checks.between(entry["backoff_limit"], 0, 20)


def migrations(values: Values) -> Problems:
    """Check what is run before a new version."""
    steps = values["exchange_app_migrate_steps"]
    if values["exchange_app_migrate"] and not steps:
        yield "exchange_app_migrate_steps", [], "expected at least one step, or exchange_app_migrate false"
    for index, step in enumerate(steps):
        path = f"exchange_app_migrate_steps[{index}]"
        yield f"{path}.name", step["name"], checks.dns_label(step["name"])
        reserved = "expected another name: it is the step of exchange_app_admin_command"
        yield f"{path}.name", step["name"], reserved if step["name"] == "create-admin" else ""
        yield path, step, "" if step.get("command") or step.get("args") else "expected command or args"
        yield from environment_map(f"{path}.env", step.get("env"))


def files(values: Values) -> Problems:
    """Check directories, uploads and what they mean for the number of pods."""
    expected = "an absolute path below / without spaces and ':'"
    paths = Counter(entry["path"] for entry in values["exchange_app_writable_paths"])
    for index, entry in enumerate(values["exchange_app_writable_paths"]):
        here = f"exchange_app_writable_paths[{index}]"
        yield f"{here}.path", entry["path"], matches(_PATH, entry["path"], expected)
        yield f"{here}.path", entry["path"], "expected each path once" if paths[entry["path"]] > 1 else ""
        if entry.get("size_limit"):
            yield f"{here}.size_limit", entry["size_limit"], checks.quantity(entry["size_limit"], "1Ki")
    static = values["exchange_app_collectstatic_path"]
    yield "exchange_app_collectstatic_path", static, matches(_PATH, static, expected)
    media = values["exchange_app_media"]
    if media["type"] == "s3":
        yield "exchange_app_media.bucket", media["bucket"], "" if media["bucket"] else "expected the bucket's name"
    if media["type"] != "pvc":
        return
    yield "exchange_app_media.path", media["path"], matches(_PATH, media["path"], expected)
    yield "exchange_app_media.size", media["size"], checks.quantity(media["size"], "1Mi")
    several = values["exchange_app_replicas"] > 1 or values["exchange_app_autoscaling"]["enabled"]
    if media["access_mode"] != "ReadWriteMany" and several:
        alone = "expected ReadWriteMany, or exchange_app_replicas 1 without autoscaling: one pod alone can mount it"
        yield "exchange_app_media.access_mode", media["access_mode"], alone


def scaling(values: Values) -> Problems:
    """Check the autoscaler."""
    settings = values["exchange_app_autoscaling"]
    low, high = settings["min_replicas"], settings["max_replicas"]
    yield "exchange_app_autoscaling.min_replicas", low, checks.between(low, 1, 1000)
    yield "exchange_app_autoscaling.max_replicas", high, checks.between(high, 1, 1000)
    crossed = f"expected at most max_replicas ({high})"
    yield "exchange_app_autoscaling.min_replicas", low, crossed if low > high else ""
    for key, lowest, highest in (
        ("cpu_percent", 0, 1000),
        ("memory_percent", 0, 1000),
        ("requests_in_flight", 1, 10_000),
        ("latency_p95_ms", 1, 600_000),
        ("scale_up_stabilization_seconds", 0, 3600),
        ("scale_down_stabilization_seconds", 0, 3600),
    ):
        if settings.get(key) is not None:
            yield f"exchange_app_autoscaling.{key}", settings[key], checks.between(settings[key], lowest, highest)
    if settings["enabled"]:
        yield from scaling_figures(values, settings)


def scaling_figures(values: Values, settings: Mapping[str, Any]) -> Problems:
    """Check that there is something to go by, and that somebody can tell it."""
    asked = [key for key in ("requests_in_flight", "latency_p95_ms") if settings.get(key)]
    percents = [key for key in ("cpu_percent", "memory_percent") if settings.get(key)]
    nothing = (
        "" if asked or percents else "expected one of cpu_percent, memory_percent, requests_in_flight, latency_p95_ms"
    )
    yield "exchange_app_autoscaling", settings, nothing
    requests = values["exchange_app_resources"].get("requests") or {}
    for key in percents:
        resource = key.removesuffix("_percent")
        missing = f"expected exchange_app_resources.requests.{resource}, which it is a percentage of; or 0"
        yield f"exchange_app_autoscaling.{key}", settings[key], "" if resource in requests else missing
    for key in asked:
        path = f"exchange_app_autoscaling.{key}"
        nobody = "expected source prometheus_adapter or keda, who ask Prometheus for it"
        yield path, settings[key], nobody if settings["source"] == "none" else ""
        hidden = "expected exchange_app_metrics.enabled, since Prometheus reads it there"
        yield path, settings[key], "" if values["exchange_app_metrics"]["enabled"] else hidden
    address = settings["prometheus_address"]
    if asked and settings["source"] == "keda":
        good = re.fullmatch(r"https?://\S+", address)
        expected = "expected an address such as http://prometheus.monitoring.svc:9090"
        yield "exchange_app_autoscaling.prometheus_address", address, "" if good else expected


def pods_at_once(pods: int, leaving_seconds: int) -> int:
    """Return how many pods of so many there are at most while all of them are replaced.

    There is one more than wanted (maxSurge), and those that are going hold their connections until they are gone.

    Args:
        pods: how many are wanted.
        leaving_seconds: how long a pod takes that is going.
    """
    return min(2 * pods, pods + 1 + math.ceil(leaving_seconds / START_SECONDS))


def connections(values: Values) -> Problems:
    """Check that the platform's own database has connections for all web pods, also while they are replaced.

    A pod that gets none answers 503 and isn't ready; under load, when pods are added, they go one after the other.
    """
    each = values["exchange_app_connections_per_pod"]
    ours = "postgres_memory_limit" in values and values["platform_database_mode"] == "internal"
    if each < 1 or not ours or values["postgres_pgbouncer_enabled"]:
        return
    try:
        allowed = int(role_parameters(values)["max_connections"])
    except ValueError:
        # An error of roles/postgres, which says so itself.
        return
    scaled = values["exchange_app_autoscaling"]["enabled"]
    name = "exchange_app_autoscaling.max_replicas" if scaled else "exchange_app_replicas"
    pods = values["exchange_app_autoscaling"]["max_replicas"] if scaled else values["exchange_app_replicas"]
    leaving = values["exchange_app_pre_stop_seconds"] + values["exchange_app_graceful_timeout_seconds"]
    room = (allowed - OTHER_CONNECTIONS) // each
    most = next((fewer for fewer in range(min(pods, room), 0, -1) if pods_at_once(fewer, leaving) <= room), 0)
    too_many = (
        f"expected at most {most}: the database has {allowed} connections, {OTHER_CONNECTIONS} of them for others; "
        f"each web pod takes up to {each} (exchange_app_connections_per_pod), and while all are replaced there are up "
        f"to {pods_at_once(pods, leaving)}, those that are going counted. Raise postgres_memory_limit, or put "
        "PgBouncer between (postgres_pgbouncer_enabled)"
    )
    yield name, pods, too_many if pods > most else ""


def network(values: Values) -> Problems:
    """Check who may reach whom, and the Ingress's settings."""
    for variable in ("exchange_app_ingress_from", "exchange_app_metrics_from"):
        for index, peer in enumerate(values[variable]):
            if peer.get("namespace"):
                yield f"{variable}[{index}].namespace", peer["namespace"], checks.dns_label(peer["namespace"])
    for index, address in enumerate(values["exchange_app_database_networks"]):
        yield f"exchange_app_database_networks[{index}]", address, checks.network(address)
    try:
        ingress_annotations(values["exchange_app_ingress_settings"], values.get("ingress_nginx_controller", "f5"))
    except AnsibleFilterError as error:
        settings = values["exchange_app_ingress_settings"]
        yield "exchange_app_ingress_settings", settings, str(error).removeprefix("ingress_annotations: ")
