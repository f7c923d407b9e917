"""Rules across the variables of roles/postgres."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.cryptoexchange.platform.plugins.plugin_utils import checks
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.postgres_settings import normal_value
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.postgres_tuning import (
    OTHER_CONNECTIONS,
    role_parameters,
)
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.preflight import HIDDEN, Finding
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.quantity import parse_quantity

# A name that needs no quoting, with room for the suffix of a login role in PostgreSQL's 63 bytes.
_DATABASE_NAME = re.compile(r"[a-z_][a-z0-9_]{0,59}")
# Roles and databases that are there already.
_TAKEN = frozenset(
    {"backup", "exporter", "pgbouncer", "pooler", "postgres", "replicator", "rewinder", "template0", "template1"}
)
_EXTENSION = re.compile(r"[a-z][a-z0-9_-]*")
_MAX_MEMBERS = 9
# In a line of pgBackRest's configuration.
_WORD = re.compile(r"\S+")
_PASSPHRASE_CHARACTERS = 20
_SETTING = re.compile(r"[\w.-]+", re.ASCII)


def errors(values: Mapping[str, Any]) -> list[Finding]:
    """Return what is wrong with size, replication and parameters."""
    if values["platform_database_mode"] != "internal":
        return []
    found: list[Finding] = []

    def check(name: str, problem: str) -> None:
        if problem:
            found.append(Finding(name, values[name], problem))

    replicas = values["postgres_replicas"]
    check("postgres_replicas", checks.between(replicas, 1, _MAX_MEMBERS))
    check("postgres_cpu_request", checks.quantity(values["postgres_cpu_request"], "10m"))
    if values["postgres_cpu_limit"]:
        check("postgres_cpu_limit", checks.quantity(values["postgres_cpu_limit"], "10m"))
    check("postgres_memory_request", checks.quantity(values["postgres_memory_request"], "64Mi"))
    check("postgres_memory_limit", checks.quantity(values["postgres_memory_limit"], "256Mi"))
    check("postgres_volume_size", checks.quantity(values["postgres_volume_size"], "1Gi"))
    check("postgres_termination_grace_seconds", checks.between(values["postgres_termination_grace_seconds"], 30, 3600))
    check("postgres_member_timeout_seconds", checks.between(values["postgres_member_timeout_seconds"], 30, 86400))
    check("postgres_cluster_domain", checks.host_name(values["postgres_cluster_domain"]))
    check("platform_database_name", _database_name(values["platform_database_name"]))
    if not values["postgres_api_server_ports"]:
        found.append(
            Finding("postgres_api_server_ports", [], "expected at least one port: Patroni needs the API server")
        )
    for name in ("postgres_api_server_ports", "postgres_archive_ports"):
        found += [
            Finding(f"{name}[{index}]", port, problem)
            for index, port in enumerate(values[name])
            if (problem := checks.port(port))
        ]
    for name in ("postgres_archive_to", "postgres_metrics_from"):
        found += peer_errors(name, values[name])
    check("postgres_metrics_cpu_request", checks.quantity(values["postgres_metrics_cpu_request"], "1m"))
    check("postgres_metrics_memory_request", checks.quantity(values["postgres_metrics_memory_request"], "16Mi"))
    check("postgres_metrics_memory_limit", checks.quantity(values["postgres_metrics_memory_limit"], "32Mi"))
    if values["postgres_synchronous_mode"] == "strict" and replicas < 2:  # noqa: PLR2004
        found.append(
            Finding(
                "postgres_synchronous_mode",
                "strict",
                f"expected async or quorum with postgres_replicas {replicas}: no write would ever end",
            )
        )
    check("postgres_pgbouncer_replicas", checks.between(values["postgres_pgbouncer_replicas"], 1, 10))
    check("postgres_pgbouncer_pool_size", checks.between(values["postgres_pgbouncer_pool_size"], 1, 1000))
    check("postgres_pgbouncer_max_clients", checks.between(values["postgres_pgbouncer_max_clients"], 1, 10000))
    check("postgres_pgbouncer_pause_seconds", checks.between(values["postgres_pgbouncer_pause_seconds"], 5, 25))
    check("postgres_pgbouncer_cpu_request", checks.quantity(values["postgres_pgbouncer_cpu_request"], "1m"))
    check("postgres_pgbouncer_memory_request", checks.quantity(values["postgres_pgbouncer_memory_request"], "16Mi"))
    check("postgres_pgbouncer_memory_limit", checks.quantity(values["postgres_pgbouncer_memory_limit"], "32Mi"))
    found += archive_errors(values)
    found += setting_errors(values["postgres_pgbouncer_settings"])
    found += parameter_errors(values["postgres_parameters"])
    found += account_errors(values)
    return found or size_errors(values)


def peer_errors(name: str, peers: Sequence[Mapping[str, Any]]) -> list[Finding]:
    """Return what is wrong with the ends of a NetworkPolicy: one that names nothing would be everybody."""
    found = []
    for index, given in enumerate(peers):
        peer = {key: value for key, value in given.items() if value}
        if "cidr" in peer:
            problem = checks.network(peer["cidr"]) or ("expected nothing beside cidr" if len(peer) > 1 else "")
        elif "namespace" in peer:
            problem = checks.dns_label(peer["namespace"])
        else:
            problem = "expected a namespace, or a cidr"
        if problem:
            found.append(Finding(f"{name}[{index}]", peer, problem))
    return found


def archive_errors(values: Mapping[str, Any]) -> list[Finding]:
    """Return what is wrong with point-in-time recovery, if it is on."""
    # Preflight's types fill in what isn't said.
    target = {key: given for key, given in values["postgres_archive_target"].items() if given}
    if not target:
        return []

    def value(name: str) -> Any:
        return values[f"postgres_archive_{name}"]

    prefix, endpoint = target.get("prefix", ""), target.get("endpoint", "")
    lines = [
        key for key in ("bucket", "region", "access_key", "secret_key") if not _WORD.fullmatch(target.get(key, ""))
    ]
    problems = {
        **{f"target.{key}": "expected something, without spaces" for key in lines},
        "target.prefix": "expected no slash at either end, and no spaces"
        if prefix and (prefix != prefix.strip("/") or not _WORD.fullmatch(prefix))
        else "",
        "target.endpoint": checks.https_url(endpoint)
        and "expected an address such as https://s3.example.com, or nothing for AWS: pgBackRest speaks TLS alone"
        if endpoint
        else "",
        "target.ca": "expected a certificate, not a private key" if "PRIVATE KEY" in (target.get("ca") or "") else "",
        "passphrase": ""
        if len(value("passphrase")) >= _PASSPHRASE_CHARACTERS and _WORD.fullmatch(value("passphrase"))
        else f"expected at least {_PASSPHRASE_CHARACTERS} characters, without spaces",
        "timeout_seconds": checks.between(value("timeout_seconds"), 10, 3600),
        "full_schedule": checks.cron(value("full_schedule")),
        "differential_schedule": checks.cron(value("differential_schedule")) if value("differential_schedule") else "",
        "time_zone": "" if value("time_zone") else "expected a name such as Etc/UTC or Europe/Berlin",
        "full_backups": checks.between(value("full_backups"), 1, 1000),
        "deadline_seconds": checks.between(value("deadline_seconds"), 60, 7 * 86400),
        "cpu_request": checks.quantity(value("cpu_request"), "1m"),
        "memory_request": checks.quantity(value("memory_request"), "16Mi"),
        "memory_limit": checks.quantity(value("memory_limit"), "128Mi"),
        "to": "" if value("to") else "expected where the bucket is reached, such as [{cidr: 0.0.0.0/0}]",
    }
    return [
        # The target has a secret in it, so nothing of it is shown.
        Finding(f"postgres_archive_{name}", HIDDEN if name.startswith("target.") else value(name), problem)
        for name, problem in problems.items()
        if problem
    ]


def _database_name(name: str) -> str:
    if _DATABASE_NAME.fullmatch(name) is None:
        return "expected lower-case letters, digits and '_', not starting with a digit, at most 60 characters"
    if name in _TAKEN or name.startswith("pg_"):
        return f"expected a name other than {', '.join(sorted(_TAKEN))} and pg_*"
    return ""


def account_errors(values: Mapping[str, Any]) -> list[Finding]:
    """Return what is wrong with roles, databases and extensions beside the platform's own."""
    found: list[Finding] = []
    app = values["platform_database_name"]
    own = {app, f"{app}_a", f"{app}_b", "restore"}
    names: dict[str, list[str]] = {}
    for variable in ("postgres_roles", "postgres_databases"):
        names[variable] = [item["name"] for item in values[variable]]
        for index, name in enumerate(names[variable]):
            problem = _database_name(name)
            if not problem and (name in own or name in names[variable][:index]):
                problem = f"expected a name of its own, other than {', '.join(sorted(own))}"
            if problem:
                found.append(Finding(f"{variable}[{index}].name", name, problem))
    for index, database in enumerate(values["postgres_databases"]):
        if database["owner"] not in names["postgres_roles"]:
            expected = f"expected one of postgres_roles: {', '.join(names['postgres_roles']) or 'there is none'}"
            found.append(Finding(f"postgres_databases[{index}].owner", database["owner"], expected))
    wanted = {"postgres_extensions": values["postgres_extensions"]}
    for index, database in enumerate(values["postgres_databases"]):
        wanted[f"postgres_databases[{index}].extensions"] = database.get("extensions") or []
    found += [
        Finding(f"{variable}[{index}]", name, "expected an extension's name, such as pg_trgm")
        for variable, extensions in wanted.items()
        for index, name in enumerate(extensions)
        if not _EXTENSION.fullmatch(name)
    ]
    return found


def parameter_errors(parameters: Mapping[str, Any]) -> list[Finding]:
    """Return the parameters that PostgreSQL doesn't know, doesn't take or may not be told."""
    found = []
    for name, value in parameters.items():
        try:
            normal_value(str(name), value)
        except ValueError as error:
            found.append(Finding(f"postgres_parameters.{name}", value, str(error)))
    return found


def setting_errors(settings: Mapping[str, Any]) -> list[Finding]:
    """Return the parameters that a session can't have, or whose values would break PgBouncer's configuration."""
    found = []
    for name, value in settings.items():
        problem = ""
        try:
            normal_value(str(name), value)
        except ValueError as error:
            problem = str(error)
        if not problem and not _SETTING.fullmatch(str(value)):
            problem = "expected letters, digits, '.', '_' and '-'"
        if problem:
            found.append(Finding(f"postgres_pgbouncer_settings.{name}", value, problem))
    return found


def size_errors(values: Mapping[str, Any]) -> list[Finding]:
    """Return what does not fit together, once every single value is right."""
    found = []
    for kind in ("cpu", "memory", "metrics_memory", "pgbouncer_memory", "archive_memory"):
        request, limit = values[f"postgres_{kind}_request"], values[f"postgres_{kind}_limit"]
        if limit and parse_quantity(request) > parse_quantity(limit):
            found.append(
                Finding(f"postgres_{kind}_request", request, f"expected at most postgres_{kind}_limit, {limit}")
            )
    try:
        tuned = role_parameters(values)
    except ValueError as error:
        return [*found, Finding("postgres_parameters", dict(values["postgres_parameters"]), str(error))]
    return found + pool_errors(values, int(tuned["max_connections"]))


def pool_errors(values: Mapping[str, Any], connections: int) -> list[Finding]:
    """Return whether the poolers would ask for more connections than the server has."""
    size, replicas = values["postgres_pgbouncer_pool_size"], values["postgres_pgbouncer_replicas"]
    most = (connections - OTHER_CONNECTIONS) // replicas
    if not values["postgres_pgbouncer_enabled"] or size <= most:
        return []
    return [
        Finding(
            "postgres_pgbouncer_pool_size",
            size,
            f"expected at most {most} with {replicas} replicas: the server has {connections} connections, and "
            f"{OTHER_CONNECTIONS} are for others (postgres_memory_limit or max_connections in postgres_parameters)",
        )
    ]
