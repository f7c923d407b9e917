"""What Grafana reads: settings, data sources and dashboards, and who reaches whom."""

from __future__ import annotations

import configparser
import json
from functools import cache
from typing import Any

import pytest
import yaml
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.traffic import Connection
from dashboard_queries import dashboards, used_variables, variables
from network.policies import allowed
from unit.templates.render import render
from unit.templates.test_secrets import secret

NAMESPACE = "exchange-monitoring"
INSTANCE = {"app.kubernetes.io/instance": "exchange"}
GRAFANA = {**INSTANCE, "app.kubernetes.io/name": "grafana", "app.kubernetes.io/component": "dashboards"}
PROMETHEUS = {**INSTANCE, "app.kubernetes.io/name": "prometheus", "app.kubernetes.io/component": "metrics"}
ALERTMANAGER = {**INSTANCE, "app.kubernetes.io/name": "alertmanager", "app.kubernetes.io/component": "alerts"}
LOKI = {**INSTANCE, "app.kubernetes.io/name": "loki", "app.kubernetes.io/component": "logs"}
CONTROLLER = {"app.kubernetes.io/component": "ingress-controller"}


def objects(chosen: str, kind: str) -> dict[str, Any]:
    return {item["metadata"]["name"]: item for item in render("grafana", chosen).objects if item["kind"] == kind}


def files(chosen: str) -> dict[str, str]:
    found: dict[str, str] = objects(chosen, "ConfigMap")["grafana"]["data"]
    return found


def settings(chosen: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(files(chosen)["grafana.ini"])
    return parser


def sources(chosen: str) -> dict[str, dict[str, Any]]:
    return {source["uid"]: source for source in yaml.safe_load(files(chosen)["datasources.yml"])["datasources"]}


def pod(chosen: str) -> dict[str, Any]:
    found: dict[str, Any] = objects(chosen, "Deployment")["grafana"]["spec"]["template"]
    return found


@pytest.mark.parametrize("chosen", ["default", "minimal", "maximal"])
def test_nobody_is_let_in_unknown_and_nothing_is_asked_outside(chosen: str) -> None:
    found = settings(chosen)
    assert not found.getboolean("auth.anonymous", "enabled")
    assert not found.getboolean("users", "allow_sign_up")
    assert found.getboolean("plugins", "preinstall_disabled")
    assert not any(found.getboolean("analytics", key) for key in found["analytics"])


def test_single_sign_on_is_there_if_it_is_wanted() -> None:
    assert "auth.generic_oauth" not in settings("default")
    oidc = settings("maximal")["auth.generic_oauth"]
    assert oidc["role_attribute_path"].strip('"') == "contains(groups[*], 'admins') && 'Admin' || 'Viewer'"
    assert "client_secret" not in oidc


@pytest.mark.parametrize("chosen", ["default", "maximal"])
def test_secrets_are_files(chosen: str) -> None:
    env = {entry["name"]: entry["value"] for entry in pod(chosen)["spec"]["containers"][0]["env"]}
    assert all(name.startswith("GF_") and name.endswith("__FILE") for name in env)
    mounted = {value.removeprefix("/etc/grafana-secrets/") for value in env.values()}
    assert mounted <= set(secret("grafana", chosen, "grafana"))


def test_the_password_is_generated_once() -> None:
    first = secret("grafana", "default", "grafana")
    assert len(first["admin-password"]) >= 24
    assert secret("grafana", "later", "grafana")["admin-password"] == "kept-from-the-first-run"


def test_what_is_not_there_is_no_source() -> None:
    assert set(sources("default")) == {"prometheus", "loki", "alertmanager"}
    assert set(sources("minimal")) == {"prometheus", "alertmanager"}
    assert set(sources("existing")) == {"prometheus"}
    assert sources("existing")["prometheus"]["url"] == "http://prometheus.figures.svc:9090"
    assert set(sources("maximal")) == {"prometheus", "loki", "alertmanager", "traces"}
    assert [uid for uid, source in sources("default").items() if source["isDefault"]] == ["prometheus"]


def test_a_line_leads_to_its_request_and_to_its_pod() -> None:
    """In a provisioned file a dollar is written twice."""
    fields = {field["name"]: field for field in sources("default")["loki"]["jsonData"]["derivedFields"]}
    assert set(fields) == {"request_id", "pod"}
    for name, field in fields.items():
        assert field["matcherRegex"] == f"^{name}$"
        url = field["url"].replace("$$", "$")
        path, _, query = url.partition("?")
        content = dashboards()[path.removeprefix("/d/")]
        chosen = {part.partition("=")[0].removeprefix("var-") for part in query.split("&")[1:]}
        assert name in chosen <= set(variables(content))
        assert used_variables(url.replace(".raw", "")) == {"__url_time_range", "__value"}
        assert f"var-{name}=${{__value.raw}}" in query


@pytest.mark.parametrize("chosen", ["default", "minimal", "maximal"])
def test_every_dashboard_is_mounted_as_it_is(chosen: str) -> None:
    maps = {name: item for name, item in objects(chosen, "ConfigMap").items() if name != "grafana"}
    volumes = [volume["projected"] for volume in pod(chosen)["spec"]["volumes"] if "projected" in volume]
    assert {source["configMap"]["name"] for volume in volumes for source in volume["sources"]} == set(maps)
    contents = {name: json.loads(text) for item in maps.values() for name, text in item["data"].items()}
    left_out = {"logs"} if chosen == "minimal" else set()
    for uid in set(dashboards()) - left_out:
        assert contents.pop(f"{uid}.json") == dashboards()[uid]
    assert [*contents] == (["own-mine.json"] if chosen == "maximal" else [])
    paths = [provider["options"]["path"] for provider in yaml.safe_load(files(chosen)["dashboards.yml"])["providers"]]
    mounts = {mount["mountPath"] for mount in pod(chosen)["spec"]["containers"][0]["volumeMounts"]}
    assert set(paths) <= mounts


@pytest.mark.parametrize(("chosen", "kept"), [("default", True), ("minimal", True), ("maximal", False)])
def test_state_is_on_a_volume_or_in_a_database(chosen: str, *, kept: bool) -> None:
    assert ("grafana" in objects(chosen, "PersistentVolumeClaim")) is kept
    strategy = objects(chosen, "Deployment")["grafana"]["spec"]["strategy"]["type"]
    assert strategy == ("Recreate" if kept else "RollingUpdate")
    assert settings(chosen)["database"]["type"] == ("sqlite3" if kept else "postgres")


def test_the_way_in() -> None:
    [rule] = objects("default", "Ingress")["grafana"]["spec"]["rules"]
    assert rule["host"] == "grafana.exchange.example.com"
    assert not objects("minimal", "Ingress")
    issuer = objects("issuer", "Ingress")["grafana"]["metadata"]["annotations"]
    assert issuer["cert-manager.io/cluster-issuer"] == "letsencrypt"


@cache
def policies(chosen: str = "default") -> tuple[dict[str, Any], ...]:
    """Return what monitoring's namespace allows, with what Grafana opens."""
    rendered = [
        *render("platform", "everything").objects,
        *render("monitoring", chosen).objects,
        *render("grafana", chosen).objects,
    ]
    return tuple(
        item for item in rendered if item["kind"] == "NetworkPolicy" and item["metadata"]["namespace"] == NAMESPACE
    )


def reaches(source: dict[str, Any], target: dict[str, Any], port: int) -> bool:
    return allowed(policies(), Connection(source, target, port))


def here(labels: dict[str, str]) -> dict[str, Any]:
    return {"namespace": NAMESPACE, "labels": labels}


@pytest.mark.parametrize(
    ("source", "target", "port", "let_through"),
    [
        (here(GRAFANA), here(PROMETHEUS), 9090, True),
        (here(GRAFANA), here(ALERTMANAGER), 9093, True),
        (here(GRAFANA), here(LOKI), 3100, True),
        (here(PROMETHEUS), here(GRAFANA), 3000, True),
        ({"namespace": "ingress-nginx", "labels": CONTROLLER}, here(GRAFANA), 3000, True),
        ({"namespace": "ingress-nginx", "labels": CONTROLLER}, here(PROMETHEUS), 9090, False),
        ({"namespace": "ingress-nginx", "labels": {}}, here(GRAFANA), 3000, False),
        ({"namespace": "exchange", "labels": CONTROLLER}, here(GRAFANA), 3000, False),
        (here(ALERTMANAGER), here(GRAFANA), 3000, False),
        (here(LOKI), here(GRAFANA), 3000, False),
        (here({}), here(GRAFANA), 3000, False),
        (here(GRAFANA), here(GRAFANA), 3000, False),
        (here(GRAFANA), here(PROMETHEUS), 9094, False),
        (here(GRAFANA), {"namespace": "exchange-database", "labels": {}}, 5432, False),
        (here(GRAFANA), {"address": "203.0.113.9"}, 443, False),
        ({"address": "203.0.113.9"}, here(GRAFANA), 3000, False),
    ],
)
def test_who_reaches_whom(source: dict[str, Any], target: dict[str, Any], port: int, *, let_through: bool) -> None:
    assert reaches(source, target, port) is let_through


THEIRS = {"namespace": "figures", "labels": {"app.kubernetes.io/name": "prometheus"}}


@pytest.mark.parametrize(
    ("source", "target", "port", "let_through"),
    [
        (here(GRAFANA), THEIRS, 9090, True),
        (THEIRS, here(GRAFANA), 3000, True),
        (here(GRAFANA), THEIRS, 9093, False),
        (here(GRAFANA), {"namespace": "figures", "labels": {}}, 9090, False),
        (here(GRAFANA), here(PROMETHEUS), 9090, False),
        (here(GRAFANA), here(ALERTMANAGER), 9093, False),
        (here(PROMETHEUS), here(GRAFANA), 3000, False),
        # An address outside, which may be of a store that is asked instead.
        (here(GRAFANA), {"address": "203.0.113.9"}, 443, True),
    ],
)
def test_who_reaches_whom_with_an_existing_prometheus(
    source: dict[str, Any], target: dict[str, Any], port: int, *, let_through: bool
) -> None:
    assert allowed(policies("existing"), Connection(source, target, port)) is let_through
