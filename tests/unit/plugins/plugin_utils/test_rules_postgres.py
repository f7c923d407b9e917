"""Every variable of roles/postgres, set wrongly: the error names it, its value and what is allowed."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils import rules_postgres
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.preflight import Role, find_errors

ROLE = Path(__file__).parents[4] / "roles" / "postgres"
OPTIONS = yaml.safe_load((ROLE / "meta" / "argument_specs.yml").read_text())["argument_specs"]["main"]["options"]
POSTGRES = Role("postgres", OPTIONS, frozenset(), rules_postgres.errors)
# What the rules look at and another role owns.
PLATFORM = Role(
    "platform", {"platform_database_mode": {"type": "str"}, "platform_database_name": {"type": "str"}}, frozenset()
)
GOOD: dict[str, Any] = {
    **yaml.safe_load((ROLE / "defaults" / "main.yml").read_text()),
    "postgres_storage_class": "",
    "postgres_metrics_from": [],
    "postgres_member_timeout_seconds": 600,
    "platform_database_mode": "internal",
    "platform_database_name": "exchange",
}


def errors(changed: dict[str, Any]) -> list[str]:
    values = {**copy.deepcopy(GOOD), **changed}
    return find_errors([PLATFORM, POSTGRES], values, names=list(values))


ARCHIVE: dict[str, Any] = {
    "postgres_archive_target": {"bucket": "b", "region": "eu-1", "access_key": "archiver", "secret_key": "its-secret"},
    "postgres_archive_passphrase": "twenty-characters-at-least",
}


def changed_archive(target: dict[str, Any]) -> dict[str, Any]:
    return {**ARCHIVE, "postgres_archive_target": {**ARCHIVE["postgres_archive_target"], **target}}


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"postgres_replicas": 1},
        {"postgres_replicas": 2, "postgres_synchronous_mode": "strict"},
        {"postgres_replicas": 1, "postgres_synchronous_mode": "async"},
        {"postgres_cpu_limit": "2"},
        {"postgres_memory_limit": "256Mi", "postgres_memory_request": "256Mi"},
        {"postgres_parameters": {"work_mem": "16MB", "max_connections": 60, "jit": False}},
        {"platform_database_name": "other_shop1"},
        {
            "postgres_pgbouncer_enabled": True,
            "postgres_pgbouncer_pool_mode": "session",
            "postgres_pgbouncer_settings": {},
        },
        {
            "postgres_roles": [
                {"name": "reports", "login": True, "password": "x", "member_of": ["pg_read_all_data"]},
                {"name": "shop"},
            ],
            "postgres_databases": [
                {"name": "shop", "owner": "shop", "connect": ["reports"], "extensions": ["uuid-ossp"]}
            ],
            "postgres_extensions": ["pg_trgm"],
        },
        # Not in use: nobody's connections.
        {"postgres_pgbouncer_pool_size": 50},
        {"postgres_archive_to": [{"namespace": "store"}, {"cidr": "10.0.0.0/8"}], "postgres_archive_ports": [9000]},
        ARCHIVE,
        changed_archive({"prefix": "a/b", "endpoint": "https://s3.example.com:7071", "path_style": True, "ca": "PEM"}),
        # Off: nobody's.
        {"postgres_archive_passphrase": "short", "postgres_archive_full_schedule": "never"},
        # With a database of somebody else's nothing of this role is used.
        {"platform_database_mode": "external", "postgres_replicas": 0},
    ],
)
def test_allowed(changed: dict[str, Any]) -> None:
    assert errors(changed) == []


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"postgres_replicas": 0}, "postgres_replicas is 0: expected 1 to 9"),
        ({"postgres_member_timeout_seconds": 5}, "postgres_member_timeout_seconds is 5: expected 30 to 86400"),
        ({"postgres_replicas": 10}, "postgres_replicas is 10: expected 1 to 9"),
        (
            {"postgres_replicas": "three"},
            "postgres_replicas is 'three': argument 'postgres_replicas' is of type str, not int",
        ),
        (
            {"postgres_replica": 3},
            "postgres_replica is not a variable of the role postgres; did you mean postgres_replicas?",
        ),
        (
            {"postgres_memory_limit": "5 potatoes"},
            "postgres_memory_limit is '5 potatoes': expected a Kubernetes quantity",
        ),
        ({"postgres_memory_limit": "128Mi"}, "postgres_memory_limit is '128Mi': expected at least 256Mi"),
        (
            {"postgres_memory_request": "2Gi"},
            "postgres_memory_request is '2Gi': expected at most postgres_memory_limit, 1Gi",
        ),
        ({"postgres_memory_request": "1Mi"}, "postgres_memory_request is '1Mi': expected at least 64Mi"),
        ({"postgres_cpu_request": "0"}, "postgres_cpu_request is '0': expected at least 10m"),
        ({"postgres_cpu_request": "fast"}, "postgres_cpu_request is 'fast': expected a Kubernetes quantity"),
        ({"postgres_cpu_limit": "100m"}, "postgres_cpu_request is '250m': expected at most postgres_cpu_limit, 100m"),
        ({"postgres_cpu_limit": "1m"}, "postgres_cpu_limit is '1m': expected at least 10m"),
        ({"postgres_volume_size": "1G"}, "postgres_volume_size is '1G': expected at least 1Gi"),
        ({"postgres_volume_size": ""}, "postgres_volume_size is '': expected a Kubernetes quantity"),
        ({"postgres_synchronous_mode": "always"}, "postgres_synchronous_mode is 'always'"),
        (
            {"postgres_replicas": 1, "postgres_synchronous_mode": "strict"},
            "postgres_synchronous_mode is 'strict': expected async or quorum with postgres_replicas 1",
        ),
        ({"postgres_anti_affinity": "maybe"}, "postgres_anti_affinity is 'maybe'"),
        ({"postgres_parameters": {"work_mme": "4MB"}}, "postgres_parameters.work_mme is '4MB': is no parameter"),
        ({"postgres_parameters": {"fsync": False}}, "postgres_parameters.fsync is False: may not be set"),
        ({"postgres_parameters": {"port": 5433}}, "postgres_parameters.port is 5433: may not be set: Patroni sets it"),
        ({"postgres_parameters": {"work_mem": "5 potatoes"}}, "postgres_parameters.work_mem is '5 potatoes'"),
        (
            {"postgres_parameters": {"max_connections": 1000}},
            "max_connections (1000, 2 MiB each) do not fit into 1024 MiB",
        ),
        ({"postgres_parameters": "work_mem"}, "postgres_parameters is 'work_mem'"),
        (
            {"postgres_roles": [{"name": "exchange_a"}]},
            "postgres_roles[0].name is (hidden): expected a name of its own",
        ),
        (
            {"postgres_roles": [{"name": "x"}, {"name": "x"}]},
            "postgres_roles[1].name is (hidden): expected a name of its own",
        ),
        ({"postgres_roles": [{"name": "pg_all"}]}, "postgres_roles[0].name is (hidden): expected a name other than"),
        ({"postgres_roles": [{"name": "Reports"}]}, "postgres_roles[0].name is (hidden): expected lower-case letters"),
        ({"postgres_roles": [{"login": True}]}, "postgres_roles is"),
        (
            {"postgres_databases": [{"name": "shop", "owner": "nobody"}]},
            "postgres_databases[0].owner is 'nobody': expected one of postgres_roles: there is none",
        ),
        ({"postgres_extensions": ["x; DROP"]}, "postgres_extensions[0] is 'x; DROP': expected an extension's name"),
        (
            {
                "postgres_roles": [{"name": "shop"}],
                "postgres_databases": [{"name": "shop", "owner": "shop", "extensions": ["A"]}],
            },
            "postgres_databases[0].extensions[0] is 'A': expected an extension's name",
        ),
        ({"postgres_termination_grace_seconds": 5}, "postgres_termination_grace_seconds is 5: expected 30 to 3600"),
        ({"postgres_api_server_ports": []}, "postgres_api_server_ports is []: expected at least one port"),
        ({"postgres_api_server_ports": [443, 0]}, "postgres_api_server_ports[1] is 0: expected 1 to 65535"),
        ({"postgres_pgbouncer_enabled": "some"}, "postgres_pgbouncer_enabled is 'some'"),
        ({"postgres_pgbouncer_replicas": 0}, "postgres_pgbouncer_replicas is 0: expected 1 to 10"),
        ({"postgres_pgbouncer_pool_mode": "statement"}, "postgres_pgbouncer_pool_mode is 'statement'"),
        ({"postgres_pgbouncer_pool_size": 0}, "postgres_pgbouncer_pool_size is 0: expected 1 to 1000"),
        ({"postgres_pgbouncer_max_clients": 0}, "postgres_pgbouncer_max_clients is 0: expected 1 to 10000"),
        ({"postgres_pgbouncer_pause_seconds": 60}, "postgres_pgbouncer_pause_seconds is 60: expected 5 to 25"),
        (
            {"postgres_pgbouncer_cpu_request": "x"},
            "postgres_pgbouncer_cpu_request is 'x': expected a Kubernetes quantity",
        ),
        ({"postgres_pgbouncer_memory_request": "1Ki"}, "postgres_pgbouncer_memory_request is '1Ki': expected at least"),
        (
            {"postgres_pgbouncer_memory_limit": "1Mi"},
            "postgres_pgbouncer_memory_limit is '1Mi': expected at least 32Mi",
        ),
        (
            {"postgres_pgbouncer_memory_request": "1Gi"},
            "postgres_pgbouncer_memory_request is '1Gi': expected at most postgres_pgbouncer_memory_limit, 128Mi",
        ),
        ({"postgres_pgbouncer_settings": {"lock_timeuot": "5s"}}, "postgres_pgbouncer_settings.lock_timeuot is '5s'"),
        ({"postgres_pgbouncer_settings": {"search_path": "a'; DROP"}}, "expected letters, digits, '.', '_' and '-'"),
        (
            {"postgres_pgbouncer_enabled": True, "postgres_pgbouncer_pool_size": 50},
            "postgres_pgbouncer_pool_size is 50: expected at most 36 with 2 replicas: the server has 82 connections",
        ),
        ({"platform_database_name": "pgbouncer"}, "platform_database_name is 'pgbouncer': expected a name other than"),
        ({"postgres_metrics": "some"}, "postgres_metrics is 'some'"),
        (
            {"postgres_metrics_from": [{"namespace": ""}]},
            "postgres_metrics_from[0] is {}: expected a namespace, or a cidr",
        ),
        (
            {"postgres_metrics_cpu_request": "none"},
            "postgres_metrics_cpu_request is 'none': expected a Kubernetes quantity",
        ),
        (
            {"postgres_metrics_memory_request": "1Ki"},
            "postgres_metrics_memory_request is '1Ki': expected at least 16Mi",
        ),
        ({"postgres_metrics_memory_limit": "16Mi"}, "postgres_metrics_memory_limit is '16Mi': expected at least 32Mi"),
        (
            {"postgres_metrics_memory_request": "128Mi"},
            "postgres_metrics_memory_request is '128Mi': expected at most postgres_metrics_memory_limit, 64Mi",
        ),
        ({"platform_database_name": "exporter"}, "platform_database_name is 'exporter': expected a name other than"),
        ({"postgres_api_server_ports": ["https"]}, "postgres_api_server_ports is"),
        ({"postgres_archive_ports": [70000]}, "postgres_archive_ports[0] is 70000: expected 1 to 65535"),
        ({"postgres_archive_to": [{}]}, "postgres_archive_to[0] is {}: expected a namespace, or a cidr"),
        ({"postgres_archive_to": [{"pod_labels": {"a": "b"}}]}, "expected a namespace, or a cidr"),
        ({"postgres_archive_to": [{"namespace": "Store"}]}, "expected lower-case letters"),
        ({"postgres_archive_to": [{"cidr": "10.0.0.1/8"}]}, "expected a network such as 10.0.0.0/8"),
        (
            {"postgres_archive_to": [{"cidr": "10.0.0.0/8", "namespace": "store"}]},
            "expected nothing beside cidr",
        ),
        ({"postgres_archive_to": [{"ns": "store"}]}, "postgres_archive_to is"),
        (
            {"postgres_cluster_domain": "cluster local"},
            "postgres_cluster_domain is 'cluster local': expected a host name",
        ),
        ({"postgres_restart_members": "perhaps"}, "postgres_restart_members is 'perhaps'"),
        ({"postgres_tolerations": "all"}, "postgres_tolerations is 'all'"),
        ({"postgres_node_selector": ["disk"]}, "postgres_node_selector is"),
        (
            changed_archive({"bucket": ""}),
            "postgres_archive_target.bucket is (hidden): expected something, without spaces",
        ),
        (changed_archive({"region": "eu 1"}), "postgres_archive_target.region is (hidden): expected something"),
        (changed_archive({"access_key": ""}), "postgres_archive_target.access_key is"),
        (changed_archive({"secret_key": "two\nlines"}), "postgres_archive_target.secret_key is (hidden)"),
        (changed_archive({"prefix": "/wal"}), "postgres_archive_target.prefix is"),
        (changed_archive({"endpoint": "http://s3.example.com"}), "pgBackRest speaks TLS alone"),
        (
            changed_archive({"ca": "-----BEGIN PRIVATE KEY-----"}),
            "postgres_archive_target.ca is (hidden): expected a cert",
        ),
        (changed_archive({"keys": "x"}), "postgres_archive_target is (hidden): wrong type or unknown key"),
        (
            {**ARCHIVE, "postgres_archive_passphrase": "too-short"},
            "postgres_archive_passphrase is (hidden): expected at",
        ),
        ({**ARCHIVE, "postgres_archive_timeout_seconds": 5}, "postgres_archive_timeout_seconds is 5: expected 10 to"),
        ({**ARCHIVE, "postgres_archive_full_schedule": ""}, "postgres_archive_full_schedule is '': expected five cron"),
        ({**ARCHIVE, "postgres_archive_differential_schedule": "0 25 * * *"}, "postgres_archive_differential_schedule"),
        ({**ARCHIVE, "postgres_archive_time_zone": ""}, "postgres_archive_time_zone is ''"),
        ({**ARCHIVE, "postgres_archive_full_backups": 0}, "postgres_archive_full_backups is 0: expected 1 to"),
        ({**ARCHIVE, "postgres_archive_deadline_seconds": 1}, "postgres_archive_deadline_seconds is 1: expected 60"),
        ({**ARCHIVE, "postgres_archive_cpu_request": "some"}, "postgres_archive_cpu_request is 'some'"),
        (
            {**ARCHIVE, "postgres_archive_memory_request": "1Gi"},
            "expected at most postgres_archive_memory_limit, 256Mi",
        ),
        ({**ARCHIVE, "postgres_archive_memory_limit": "64Mi"}, "postgres_archive_memory_limit is '64Mi': expected at"),
        ({**ARCHIVE, "postgres_archive_to": []}, "postgres_archive_to is []: expected where the bucket is reached"),
        ({"postgres_parameters": {"archive_timeout": 30}}, "postgres_parameters.archive_timeout is 30: may not be set"),
        ({"platform_database_name": "Shop"}, "platform_database_name is 'Shop': expected lower-case letters"),
        ({"platform_database_name": "a-b"}, "platform_database_name is 'a-b': expected lower-case letters"),
        ({"platform_database_name": "postgres"}, "platform_database_name is 'postgres': expected a name other than"),
        ({"platform_database_name": "pg_shop"}, "platform_database_name is 'pg_shop': expected a name other than"),
    ],
)
def test_refused(changed: dict[str, Any], expected: str) -> None:
    found = errors(changed)
    assert len(found) == 1
    assert expected in found[0]


def test_all_errors_at_once() -> None:
    found = errors({"postgres_replicas": 0, "postgres_volume_size": "x", "postgres_parameters": {"port": 1, "nix": 2}})
    assert len(found) == 4
