"""The chart's values from the role's variables: the image that stays, what a retry needs, all of it taken by Helm."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.cryptoexchange.platform.plugins.filter.exchange_app import exchange_plan
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils import exchange_values
from unit.charts.test_exchange import pod_of, render
from unit.plugins.plugin_utils.exchange_app_role import app

PLATFORM: dict[str, Any] = {
    "instance": "exchange",
    "domain": "exchange.example.com",
    "ingress_class": "nginx",
    "ingress_controller": "f5",
    "tls_mode": "selfsigned",
    "tls_issuer_name": "",
    "tls_issuer_kind": "ClusterIssuer",
    "image_registry": "",
    "image_pull_secret": "",
    "namespace_database": "exchange-database",
    "database_mode": "internal",
    "database_host": "postgres-rw.exchange-database.svc",
    "database_primary_host": "postgres-rw.exchange-database.svc",
    "database_port": 5432,
    "database_name": "exchange",
    "database_sslmode": "verify-full",
    "database_ca": True,
}
NONE: dict[str, Any] = {"status": "none", "revision": 0, "config": {}, "pending": [], "at_work": False, "running": {}}
CHECKSUMS = {"chart": "0123", "secrets": "4567"}
REPOSITORY = "ghcr.io/cryptoexchange/exchange"
WORKER = {
    "name": "queue", "command": ["work"], "args": None, "replicas": 0, "env": {"A": "b"}, "resources": None,
    "secret_env": [{"name": "KEY", "secret": "s", "key": "k"}], "liveness_command": ["alive"],
    "termination_grace_seconds": 120, "strategy": "Recreate",
}  # fmt: skip
JOB = {"name": "nightly", "schedule": "@daily", "time_zone": "Europe/Berlin", "args": ["night"], "backoff_limit": 0}


def plan(
    changed: dict[str, Any] | None = None, release: dict[str, Any] | None = None, **platform: Any
) -> dict[str, Any]:
    return exchange_values.plan(app(changed), {**PLATFORM, **platform}, release or NONE, CHECKSUMS)


def values(
    changed: dict[str, Any] | None = None, release: dict[str, Any] | None = None, **platform: Any
) -> dict[str, Any]:
    chosen: dict[str, Any] = plan(changed, release, **platform)["chart_values"]
    return chosen


def deployed(config: dict[str, Any], **changed: Any) -> dict[str, Any]:
    return {**NONE, "status": "deployed", "revision": 3, "config": config, "running": config, **changed}


def running(tag: str, repository: str = REPOSITORY, digest: str = "") -> dict[str, Any]:
    return deployed({"image": {"repository": repository, "tag": tag, "digest": digest}})


@pytest.mark.parametrize(
    ("changed", "release", "image", "source"),
    [
        ({}, NONE, f"{REPOSITORY}:0.1.0", "exchange_app_image"),
        ({}, running("ci-7"), f"{REPOSITORY}:ci-7", "kept from the running release"),
        ({"exchange_app_image_tag": "2"}, running("ci-7"), f"{REPOSITORY}:2", "exchange_app_image_tag"),
        ({"exchange_app_image_tag": "2"}, NONE, f"{REPOSITORY}:2", "exchange_app_image_tag"),
        # A tag of another repository means nothing here.
        ({}, running("ci-7", "registry.example.com/shop"), f"{REPOSITORY}:0.1.0", "exchange_app_image"),
        ({}, running("ci-7", digest="sha256:1"), f"{REPOSITORY}@sha256:1", "kept from the running release"),
        # A tag in the inventory wins over the image's digest.
        (
            {
                "exchange_app_image": {"repository": "shop", "tag": "1", "digest": "sha256:1"},
                "exchange_app_image_tag": "2",
            },
            NONE,
            "shop:2",
            "exchange_app_image_tag",
        ),
        (
            {"exchange_app_image": {"repository": "shop", "digest": "sha256:1"}},
            NONE,
            "shop@sha256:1",
            "exchange_app_image",
        ),
    ],
)
def test_nothing_takes_back_what_was_deployed(
    changed: dict[str, Any], release: dict[str, Any], image: str, source: str
) -> None:
    result = plan(changed, release)
    assert (result["image"], result["image_source"]) == (image, source)


def test_a_mirror_stands_before_the_repository_and_its_tag_is_kept_too() -> None:
    release = running("ci-7", f"mirror.example.com/{REPOSITORY}")
    assert plan({}, release, image_registry="mirror.example.com/")["image"] == f"mirror.example.com/{REPOSITORY}:ci-7"


def test_the_same_again_is_no_change() -> None:
    assert plan({}, NONE)["changed"] is True
    assert plan({}, deployed(values()))["changed"] is False
    assert plan({"exchange_app_replicas": 3}, deployed(values()))["changed"] is True


def test_a_failed_or_interrupted_revision_is_tried_again_and_then_left_alone() -> None:
    failed = {**NONE, "status": "failed", "revision": 5, "config": values(), "running": values()}
    again = plan({}, failed)
    assert again["changed"] is True
    assert again["chart_values"] != values(), "with the same values Helm's module would do nothing"
    assert plan({}, deployed(again["chart_values"]))["changed"] is False


def test_autoscaling_begins_once() -> None:
    on = {"exchange_app_autoscaling": {"enabled": True, "min_replicas": 2, "max_replicas": 6, "cpu_percent": 70}}
    assert plan(on, NONE)["autoscaling_begins"] is False
    assert plan(on, deployed(values()))["autoscaling_begins"] is True
    assert plan(on, deployed(values(on)))["autoscaling_begins"] is False
    assert plan({}, deployed(values()))["autoscaling_begins"] is False


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (
            {"enabled": True, "cpu_percent": 0, "memory_percent": 80},
            {"enabled": True, "cpuPercent": 0, "memoryPercent": 80},
        ),
        (
            {"source": "prometheus_adapter", "latency_p95_ms": 500},
            {"source": "prometheusAdapter", "latencyP95Milliseconds": 500},
        ),
        (
            {"source": "keda", "requests_in_flight": 4, "prometheus_address": "http://p:9090"},
            {"source": "keda", "requestsInFlight": 4, "prometheusAddress": "http://p:9090"},
        ),
        ({"scale_down_stabilization_seconds": 60}, {"scaleDownStabilizationSeconds": 60}),
    ],
)
def test_when_there_are_how_many_pods(settings: dict[str, Any], expected: dict[str, Any]) -> None:
    assert values({"exchange_app_autoscaling": settings})["autoscaling"] == expected


def test_database_in_the_cluster_and_outside() -> None:
    inside = values()["networkPolicy"]["database"]
    assert inside["namespace"] == "exchange-database"
    assert inside["podLabels"]["app.kubernetes.io/component"] == "database"
    outside = values({"exchange_app_database_networks": ["10.0.0.0/8"]}, database_mode="external", database_ca=False)
    assert outside["networkPolicy"]["database"] == {"cidrs": ["10.0.0.0/8"]}
    assert outside["database"]["caKey"] == ""


def test_an_administrator_is_made_after_the_migrations() -> None:
    steps = values()["migrate"]["steps"]
    assert [step["name"] for step in steps] == ["migrate", "static-files", "create-admin"]
    assert steps[-1]["secretEnv"]["ADMIN_PASSWORD"] == {"secret": "exchange-admin", "key": "password"}
    without = values({"exchange_app_admin_command": []})["migrate"]["steps"]
    assert [step["name"] for step in without] == ["migrate", "static-files"]


def test_a_host_s_certificate_may_come_from_cert_manager() -> None:
    annotations = values(tls_mode="cert_manager", tls_issuer_name="ca", tls_issuer_kind="Issuer")["ingress"][
        "annotations"
    ]
    assert annotations["cert-manager.io/issuer"] == "ca"


def test_extra_values_win_level_by_level() -> None:
    changed = values(
        {"exchange_app_extra_values": {"web": {"revisionHistoryLimit": 2}, "hosts": ["other.example.com"]}}
    )
    assert changed["web"]["revisionHistoryLimit"] == 2
    assert changed["web"]["replicas"] == 2
    assert changed["hosts"] == ["other.example.com"]


def test_a_wrong_setting_of_the_ingress_is_named() -> None:
    with pytest.raises(AnsibleFilterError, match="potatoes"):
        exchange_plan(app({"exchange_app_ingress_settings": {"potatoes": 5}}), PLATFORM, NONE, CHECKSUMS)


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"exchange_app_migrate": False, "exchange_app_uid": 0, "exchange_app_gid": 0},
        {"exchange_app_probes": {"type": "tcp"}, "exchange_app_metrics": {"enabled": False}},
        {"exchange_app_workers": [WORKER], "exchange_app_cron_jobs": [JOB]},
        {"exchange_app_media": {"type": "pvc", "claim": "uploads"}},
        {"exchange_app_media": {"type": "s3", "bucket": "uploads", "secret": "s3"}},
        {
            "exchange_app_collectstatic_command": ["collect"],
            "exchange_app_writable_paths": [{"path": "/a", "seed": True}],
        },
        {"exchange_app_autoscaling": {"enabled": True}},
        {"exchange_app_autoscaling": {"enabled": True, "source": "prometheus_adapter", "latency_p95_ms": 500}},
        {"exchange_app_ingress": False, "exchange_app_ingress_from": [{"pod_labels": {"a": "b"}}]},
        {"exchange_app_env_from_secrets": ["more"], "exchange_app_generated_secret_env": ["SALT"]},
    ],
    ids=str,
)
def test_the_chart_takes_what_the_role_gives(changed: dict[str, Any]) -> None:
    objects = render(values(changed))
    assert any(item["kind"] == "Deployment" and item["metadata"]["name"] == "exchange-web" for item in objects)


def test_processes_become_maps_by_name() -> None:
    result = values({"exchange_app_workers": [WORKER], "exchange_app_cron_jobs": [JOB]})
    assert result["workers"]["queue"] == {
        "command": ["work"],
        "replicas": 0,
        "env": {"A": "b"},
        "secretEnv": {"KEY": {"secret": "s", "key": "k"}},
        "livenessCommand": ["alive"],
        "terminationGraceSeconds": 120,
        "strategy": "Recreate",
    }
    assert result["cronJobs"]["nightly"] == {
        "schedule": "@daily", "timeZone": "Europe/Berlin", "args": ["night"], "backoffLimit": 0
    }  # fmt: skip


def test_a_checksum_changes_with_the_content_and_says_nothing_about_it() -> None:
    names = ["exchange/exchange-database"]
    sums = [
        exchange_values.secrets_checksum({names[0]: {"password": password}}, names, key)
        for password, key in (("one", "key"), ("two", "key"), ("one", "other"), ("one", "key"))
    ]
    assert len(set(sums[:3])) == 3
    assert sums[0] == sums[3]


def test_parts_of_a_url_are_encoded() -> None:
    assert exchange_values.url_encoded("p@ss/w:rd?#%") == "p%40ss%2Fw%3Ard%3F%23%25"


def test_behind_a_pooler_only_the_web_goes_there_and_policies_open_the_way_to_both() -> None:
    pooler = {**PLATFORM, "database_host": "pgbouncer.exchange-database.svc"}
    changed = {"exchange_app_workers": [WORKER], "exchange_app_cron_jobs": [JOB]}
    objects = render(exchange_values.values(app(changed), pooler, NONE, CHECKSUMS))
    hosts = {
        item["metadata"]["name"]: variable["value"]
        for item in objects
        if item["kind"] in {"Deployment", "Job", "CronJob"}
        for container in pod_of(item)["spec"]["containers"]
        for variable in container["env"]
        if variable["name"] == "DATABASE_HOST"
    }
    primary = "postgres-rw.exchange-database.svc"
    assert hosts == {
        "exchange-web": "pgbouncer.exchange-database.svc",
        "exchange-migrate": primary,
        "exchange-queue": primary,
        "exchange-nightly": primary,
    }
    policy = next(i for i in objects if i["kind"] == "NetworkPolicy" and i["metadata"]["name"] == "exchange")
    way = next(rule for rule in policy["spec"]["egress"] if rule["ports"][0]["port"] == 5432)
    assert [peer["podSelector"]["matchLabels"] for peer in way["to"]] == [{"app.kubernetes.io/instance": "exchange"}]


def test_a_url_goes_there_as_well() -> None:
    pooler = {**PLATFORM, "database_host": "pgbouncer.exchange-database.svc"}
    changed = {"exchange_app_database_env": {**app()["exchange_app_database_env"], "url": "DATABASE_URL"}}
    objects = render(exchange_values.values(app(changed), pooler, NONE, CHECKSUMS))
    urls = {
        item["kind"]: variable["value"].rpartition("@")[2].partition(":")[0]
        for item in objects
        if item["kind"] in {"Deployment", "Job"} and item["metadata"]["name"] in {"exchange-web", "exchange-migrate"}
        for variable in pod_of(item)["spec"]["containers"][0]["env"]
        if variable["name"] == "DATABASE_URL"
    }
    assert urls == {"Deployment": "pgbouncer.exchange-database.svc", "Job": "postgres-rw.exchange-database.svc"}


def test_without_one_everything_goes_where_the_application_goes() -> None:
    assert exchange_values.values(app(), PLATFORM, NONE, CHECKSUMS)["database"]["directHost"] == ""
    external = {**PLATFORM, "database_mode": "external", "database_host": "db.example.com"}
    assert exchange_values.values(app(), external, NONE, CHECKSUMS)["database"]["directHost"] == ""
