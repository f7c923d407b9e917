"""Every variable of roles/exchange_app, set wrongly: the error names it, its value and what is allowed."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.checks import cron
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.preflight import Role, find_errors
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.rules_exchange_app import pods_at_once
from unit.plugins.plugin_utils.exchange_app_role import EXCHANGE_APP, app, computed_defaults

WORKER = {"name": "queue", "command": ["work"]}
JOB = {"name": "nightly", "schedule": "0 3 * * *", "command": ["night"]}


def errors(changed: dict[str, Any]) -> list[str]:
    values = app(changed)
    return find_errors([EXCHANGE_APP], values, names=list(values))


def test_the_defaults_are_good() -> None:
    assert errors({}) == []


def test_every_variable_is_known() -> None:
    assert set(app()) == set(EXCHANGE_APP.options)


# Ansible makes text of anything: what is no text is left to the rules.
@pytest.mark.parametrize("name", [n for n, o in sorted(EXCHANGE_APP.options.items()) if o.get("type", "str") != "str"])
def test_a_wrong_type_is_refused(name: str) -> None:
    wrong: Any = {"a": "map"} if EXCHANGE_APP.options[name]["type"] == "list" else "five potatoes"
    (first, *_) = errors({name: wrong})
    assert first.startswith(f"{name} is ")


@pytest.mark.parametrize("name", sorted(EXCHANGE_APP.options))
def test_a_misspelt_name_is_refused_with_the_right_one(name: str) -> None:
    misspelt = f"{name}x"
    (error,) = find_errors([EXCHANGE_APP], app(), names=[misspelt])
    assert error.startswith(f"{misspelt} is not a variable of the role exchange_app; did you mean {name}")


@pytest.mark.parametrize("name", [n for n, o in sorted(EXCHANGE_APP.options.items()) if o.get("options")])
def test_an_unknown_sub_key_is_refused(name: str) -> None:
    option = EXCHANGE_APP.options[name]
    wrong: Any = {"potatoes": 5}
    (first, *_) = errors({name: [wrong] if option["type"] == "list" else wrong})
    assert name in first
    assert "potatoes" in first


@pytest.mark.parametrize(
    ("changed", "variable", "expected"),
    [
        ({"exchange_app_release": "Shop"}, "exchange_app_release", "lower-case"),
        ({"exchange_app_release": "s" * 41}, "exchange_app_release", "at most 40"),
        ({"exchange_app_timeout_seconds": 0}, "exchange_app_timeout_seconds", "30 to 7200"),
        ({"exchange_app_history": 0}, "exchange_app_history", "1 to 100"),
        ({"exchange_app_image": {"repository": "Shop", "tag": "1"}}, "exchange_app_image", "lower-case path"),
        ({"exchange_app_image": {"repository": "shop", "tag": "latest"}}, "exchange_app_image", "latest moves"),
        ({"exchange_app_image_tag": "latest"}, "exchange_app_image_tag", "latest moves"),
        ({"exchange_app_image_tag": "a b"}, "exchange_app_image_tag", "expected a tag"),
        (
            {"exchange_app_image_pull_policy": "Sometimes"},
            "exchange_app_image_pull_policy",
            "Always, IfNotPresent, Never",
        ),
        ({"exchange_app_replicas": 0}, "exchange_app_replicas", "1 to 1000"),
        ({"exchange_app_port": 80}, "exchange_app_port", "1024 to 65535"),
        (
            {"exchange_app_resources": {"requests": {"memory": "5 potatoes"}}},
            "exchange_app_resources.requests.memory",
            "a Kubernetes quantity",
        ),
        (
            {"exchange_app_resources": {"requests": {"memory": "2Gi"}, "limits": {"memory": "1Gi"}}},
            "exchange_app_resources.requests.memory",
            "at most the limit, 1Gi",
        ),
        ({"exchange_app_resources": {"limits": {"ram": "1Gi"}}}, "exchange_app_resources.limits.ram", "cpu, memory"),
        ({"exchange_app_pre_stop_seconds": -1}, "exchange_app_pre_stop_seconds", "0 to 600"),
        ({"exchange_app_graceful_timeout_seconds": -1}, "exchange_app_graceful_timeout_seconds", "0 to 3600"),
        ({"exchange_app_graceful_timeout_env": "A-B"}, "exchange_app_graceful_timeout_env", "letters, digits"),
        ({"exchange_app_termination_grace_seconds": 35}, "exchange_app_termination_grace_seconds", "more than 35"),
        ({"exchange_app_workers": [{**WORKER, "name": "Queue"}]}, "exchange_app_workers[0].name", "lower-case"),
        (
            {"exchange_app_workers": [{**WORKER, "name": "web"}]},
            "exchange_app_workers[0].name",
            "another name than web",
        ),
        ({"exchange_app_workers": [{"name": "queue"}]}, "exchange_app_workers[0]", "command or args"),
        ({"exchange_app_workers": [{**WORKER, "replicas": -1}]}, "exchange_app_workers[0].replicas", "0 to 1000"),
        (
            {"exchange_app_workers": [{**WORKER, "resources": {"limits": {"cpu": "x"}}}]},
            "exchange_app_workers[0].resources.limits.cpu",
            "a Kubernetes quantity",
        ),
        ({"exchange_app_workers": [{**WORKER, "env": {"A B": "x"}}]}, "exchange_app_workers[0].env.A B", "letters"),
        (
            {"exchange_app_workers": [{**WORKER, "termination_grace_seconds": 0}]},
            "exchange_app_workers[0].termination_grace_seconds",
            "1 to 7200",
        ),
        (
            {"exchange_app_workers": [WORKER], "exchange_app_cron_jobs": [{**JOB, "name": "queue"}]},
            "exchange_app_workers[0].name",
            "a name of its own",
        ),
        (
            {"exchange_app_cron_jobs": [{**JOB, "schedule": "daily"}]},
            "exchange_app_cron_jobs[0].schedule",
            "five cron fields",
        ),
        (
            {"exchange_app_cron_jobs": [{**JOB, "deadline_seconds": 0}]},
            "exchange_app_cron_jobs[0].deadline_seconds",
            "1 to 604800",
        ),
        (
            {"exchange_app_cron_jobs": [{**JOB, "backoff_limit": -1}]},
            "exchange_app_cron_jobs[0].backoff_limit",
            "0 to 20",
        ),
        ({"exchange_app_probes": {"type": "exec"}}, "exchange_app_probes", "http, tcp, none"),
        ({"exchange_app_probes": {"startup_path": "x"}}, "exchange_app_probes.startup_path", "a path"),
        ({"exchange_app_probes": {"startup_seconds": 0}}, "exchange_app_probes.startup_seconds", "2 to 2000"),
        ({"exchange_app_probes": {"timeout_seconds": 0}}, "exchange_app_probes.timeout_seconds", "1 to 3600"),
        ({"exchange_app_probes": {"host": "a b"}}, "exchange_app_probes.host", "a host name"),
        ({"exchange_app_metrics": {"port": 0}}, "exchange_app_metrics.port", "1024 to 65535"),
        ({"exchange_app_metrics": {"path": "x"}}, "exchange_app_metrics.path", "a path"),
        ({"exchange_app_metrics_from": [{"namespace": "A"}]}, "exchange_app_metrics_from[0].namespace", "lower-case"),
        ({"exchange_app_env": {"A-B": "x"}}, "exchange_app_env.A-B", "letters, digits"),
        ({"exchange_app_env": {"A": ["x"]}}, "exchange_app_env.A", "text, a number"),
        (
            {"exchange_app_secret_env": [{"name": "1A", "secret": "s", "key": "k"}]},
            "exchange_app_secret_env[0].name",
            "letters, digits",
        ),
        (
            {"exchange_app_secret_env": [{"name": "A", "secret": "S S", "key": "k"}]},
            "exchange_app_secret_env[0].secret",
            "a host name",
        ),
        ({"exchange_app_env_from_secrets": ["A B"]}, "exchange_app_env_from_secrets[0]", "a host name"),
        ({"exchange_app_secret_key_env": "A-B"}, "exchange_app_secret_key_env", "letters, digits"),
        ({"exchange_app_generated_secret_env": ["A-B"]}, "exchange_app_generated_secret_env[0]", "letters, digits"),
        ({"exchange_app_extra_hosts": ["a b"]}, "exchange_app_extra_hosts[0]", "a host name"),
        (
            {"exchange_app_hosts_env": {"allowed_hosts": "A-B"}},
            "exchange_app_hosts_env.allowed_hosts",
            "letters, digits",
        ),
        ({"exchange_app_database_env": {"host": "A-B"}}, "exchange_app_database_env.host", "letters, digits"),
        ({"exchange_app_database_url_scheme": "post gres"}, "exchange_app_database_url_scheme", "a scheme"),
        ({"exchange_app_migrate_steps": []}, "exchange_app_migrate_steps", "at least one step"),
        ({"exchange_app_migrate_steps": [{"name": "x"}]}, "exchange_app_migrate_steps[0]", "command or args"),
        (
            {"exchange_app_migrate_steps": [{"name": "create-admin", "command": ["x"]}]},
            "exchange_app_migrate_steps[0].name",
            "another name",
        ),
        ({"exchange_app_migrate_lock_timeout_seconds": 0}, "exchange_app_migrate_lock_timeout_seconds", "1 to 600"),
        ({"exchange_app_migrate_lock_timeout_env": "A-B"}, "exchange_app_migrate_lock_timeout_env", "letters, digits"),
        ({"exchange_app_migrate_deadline_seconds": 600}, "exchange_app_migrate_deadline_seconds", "less than"),
        ({"exchange_app_admin_username": "a b"}, "exchange_app_admin_username", "3 to 150"),
        ({"exchange_app_admin_email": "nobody"}, "exchange_app_admin_email", "a mail address"),
        ({"exchange_app_collectstatic_path": "static"}, "exchange_app_collectstatic_path", "an absolute path"),
        ({"exchange_app_writable_paths": [{"path": "/"}]}, "exchange_app_writable_paths[0].path", "an absolute path"),
        (
            {"exchange_app_writable_paths": [{"path": "/a"}, {"path": "/a"}]},
            "exchange_app_writable_paths[0].path",
            "each path once",
        ),
        (
            {"exchange_app_writable_paths": [{"path": "/a", "size_limit": "much"}]},
            "exchange_app_writable_paths[0].size_limit",
            "a Kubernetes quantity",
        ),
        ({"exchange_app_media": {"type": "s3"}}, "exchange_app_media.bucket", "the bucket's name"),
        ({"exchange_app_media": {"type": "pvc", "size": "big"}}, "exchange_app_media.size", "a Kubernetes quantity"),
        ({"exchange_app_media": {"type": "pvc", "path": "media"}}, "exchange_app_media.path", "an absolute path"),
        (
            {"exchange_app_media": {"type": "pvc", "access_mode": "ReadWriteOnce"}},
            "exchange_app_media.access_mode",
            "exchange_app_replicas 1",
        ),
        ({"exchange_app_uid": -1}, "exchange_app_uid", "0 to 4294967294"),
        ({"exchange_app_gid": -1}, "exchange_app_gid", "0 to 4294967294"),
        ({"exchange_app_priority_class": "A B"}, "exchange_app_priority_class", "expected"),
        ({"exchange_app_max_unavailable": 0}, "exchange_app_max_unavailable", "1 to 1000"),
        (
            {"exchange_app_autoscaling": {"min_replicas": 9}},
            "exchange_app_autoscaling.min_replicas",
            "at most max_replicas (4)",
        ),
        ({"exchange_app_autoscaling": {"max_replicas": 0}}, "exchange_app_autoscaling.max_replicas", "1 to 1000"),
        ({"exchange_app_autoscaling": {"cpu_percent": -1}}, "exchange_app_autoscaling.cpu_percent", "0 to 1000"),
        ({"exchange_app_autoscaling": {"latency_p95_ms": 0}}, "exchange_app_autoscaling.latency_p95_ms", "1 to 600000"),
        (
            {"exchange_app_autoscaling": {"scale_down_stabilization_seconds": 3601}},
            "exchange_app_autoscaling.scale_down_stabilization_seconds",
            "0 to 3600",
        ),
        (
            {"exchange_app_autoscaling": {"enabled": True, "cpu_percent": 0}},
            "exchange_app_autoscaling",
            "expected one of",
        ),
        (
            {"exchange_app_autoscaling": {"enabled": True}, "exchange_app_resources": {"requests": {"memory": "1Gi"}}},
            "exchange_app_autoscaling.cpu_percent",
            "exchange_app_resources.requests.cpu",
        ),
        (
            {"exchange_app_autoscaling": {"enabled": True, "requests_in_flight": 4}},
            "exchange_app_autoscaling.requests_in_flight",
            "source prometheus_adapter or keda",
        ),
        (
            {
                "exchange_app_autoscaling": {"enabled": True, "latency_p95_ms": 500, "source": "prometheus_adapter"},
                "exchange_app_metrics": {"enabled": False},
            },
            "exchange_app_autoscaling.latency_p95_ms",
            "exchange_app_metrics.enabled",
        ),
        (
            {"exchange_app_autoscaling": {"enabled": True, "requests_in_flight": 4, "source": "keda"}},
            "exchange_app_autoscaling.prometheus_address",
            "http://prometheus.monitoring.svc:9090",
        ),
        ({"exchange_app_ingress_from": [{"namespace": "A"}]}, "exchange_app_ingress_from[0].namespace", "lower-case"),
        ({"exchange_app_ingress_settings": {"potatoes": 5}}, "exchange_app_ingress_settings", "potatoes"),
        ({"exchange_app_database_networks": ["10.0.0.1/8"]}, "exchange_app_database_networks[0]", "a network"),
        ({"exchange_app_extra_values": {"potatoes": 5}}, "exchange_app_extra_values.potatoes", "a value of the chart"),
    ],
    ids=str,
)
def test_an_impossible_value_is_refused(changed: dict[str, Any], variable: str, expected: str) -> None:
    found = errors(changed)
    assert any(error.startswith(f"{variable} is ") and expected in error for error in found), found


AUTOSCALED = {"enabled": True, "min_replicas": 2, "max_replicas": 5}


@pytest.mark.parametrize(
    ("pods", "leaving_seconds", "expected"),
    [(1, 35, 2), (2, 35, 4), (6, 35, 12), (20, 35, 28), (20, 0, 21), (2, 3600, 4)],
)
def test_pods_that_there_are_while_all_are_replaced(pods: int, leaving_seconds: int, expected: int) -> None:
    assert pods_at_once(pods, leaving_seconds) == expected


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        # 1Gi allows 82 connections, 10 of them for others: 9 pods of 8.
        ({"exchange_app_replicas": 4}, ""),
        (
            {"exchange_app_replicas": 5},
            "exchange_app_replicas is 5: expected at most 4: the database has 82 connections",
        ),
        ({"exchange_app_autoscaling": AUTOSCALED}, "exchange_app_autoscaling.max_replicas is 5: expected at most 4"),
        ({"exchange_app_autoscaling": {**AUTOSCALED, "enabled": False}}, ""),
        ({"exchange_app_replicas": 9, "exchange_app_connections_per_pod": 4}, ""),
        ({"exchange_app_replicas": 900, "exchange_app_connections_per_pod": 0}, ""),
        ({"exchange_app_replicas": 9, "postgres_pgbouncer_enabled": True}, ""),
        ({"exchange_app_replicas": 9, "platform_database_mode": "external"}, ""),
        # 190 for others: 23 pods.
        ({"exchange_app_replicas": 15, "postgres_memory_limit": "4Gi"}, ""),
        ({"exchange_app_replicas": 16, "postgres_memory_limit": "4Gi"}, "there are up to 24, those that are going"),
        ({"exchange_app_replicas": 5, "postgres_parameters": {"max_connections": 90}}, ""),
        ({"exchange_app_connections_per_pod": 100}, "exchange_app_replicas is 2: expected at most 0"),
        ({"exchange_app_replicas": 1, "postgres_memory_limit": "512Mi"}, ""),
        ({"exchange_app_replicas": 2, "postgres_memory_limit": "512Mi"}, "expected at most 1: the database has 34 "),
        # Too little for any database, which roles/postgres says.
        ({"exchange_app_replicas": 9, "postgres_memory_limit": "1Mi"}, ""),
    ],
    ids=str,
)
def test_pods_are_not_more_than_the_database_has_connections_for(changed: dict[str, Any], expected: str) -> None:
    database: dict[str, Any] = {
        "postgres_memory_limit": "1Gi",
        "postgres_cpu_limit": "",
        "postgres_cpu_request": "250m",
        "postgres_volume_size": "10Gi",
        "postgres_parameters": {},
        "postgres_pgbouncer_enabled": False,
        "platform_database_mode": "internal",
    }
    others = Role("platform", {name: {"type": "raw"} for name in database})
    found = find_errors([others, EXCHANGE_APP], app({**database, **changed}), names=[])
    assert len(found) == (1 if expected else 0)
    assert all(expected in error for error in found)


def test_connections_of_a_pod_are_those_of_its_threads() -> None:
    assert app()["exchange_app_connections_per_pod"] == 8
    threads = computed_defaults({"exchange_app_env": {"WEB_CONCURRENCY": "3", "WEB_THREADS": 5}})
    assert threads["exchange_app_connections_per_pod"] == 15


def test_all_errors_come_at_once() -> None:
    assert len(errors({"exchange_app_replicas": 0, "exchange_app_port": 1, "exchange_app_history": 0})) == 3


@pytest.mark.parametrize(
    "schedule",
    ["0 3 * * *", "*/5 * * * *", "0-30/10 8-18 1,15 jan-jun MON-FRI", "@daily", "? * * * 0", "59 23 31 12 6"],
)
def test_schedules_that_kubernetes_takes(schedule: str) -> None:
    assert cron(schedule) == ""


@pytest.mark.parametrize(
    "schedule",
    ["", "daily", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *", "* * * * 7", "* * * *", "*/0 * * * *",
     "5-1 * * * *", "1-2-3 * * * *", "*/ * * * *", "a * * * *", "@reboot"],
)  # fmt: skip
def test_schedules_that_kubernetes_refuses(schedule: str) -> None:
    assert "cron" in cron(schedule)
