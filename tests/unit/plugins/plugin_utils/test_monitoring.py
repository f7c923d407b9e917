"""Who is told what, as Alertmanager reads it."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils import monitoring

DRILL = "http://alert-drill.m.svc:8080/"
HOOK = {"name": "hook", "webhook": {"url": "https://hooks.example.com/1", "bearer_token": "t"}}
MAIL = {
    "name": "mail",
    "severities": ["critical"],
    "email": {
        "to": "a@example.com",
        "from": "b@example.com",
        "smarthost": "mail:587",
        "username": "u",
        "password": "p",
    },
}


def configured(*receivers: dict[str, Any], watchdog: dict[str, Any] | None = None, grafana: str = "") -> dict[str, Any]:
    return monitoring.configuration(
        receivers, watchdog or {}, 4, "exchange.example.com", {"drill": DRILL, "grafana": grafana}
    )


def receiver(configuration: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = [one for one in configuration["receivers"] if one["name"] == name]
    return found


def test_without_receivers_nobody_is_told() -> None:
    made = configured()
    assert [one["name"] for one in made["receivers"]] == ["nobody", "AlertDrill"]
    assert [route["receiver"] for route in made["route"]["routes"]] == ["nobody", "AlertDrill"]


def test_a_drill_is_told_at_once_and_to_nobody_else() -> None:
    made = configured(HOOK)
    (route,) = [route for route in made["route"]["routes"] if route["receiver"] == "AlertDrill"]
    assert made["route"]["routes"].index(route) < 2
    assert (route["matchers"], route["group_wait"]) == (["alertname=AlertDrill"], "0s")
    assert "continue" not in route
    assert receiver(made, "AlertDrill")["webhook_configs"] == [{"url": DRILL, "send_resolved": False}]


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (
            HOOK,
            {
                "webhook_configs": [
                    {
                        "url": "https://hooks.example.com/1",
                        "http_config": {"authorization": {"credentials": "t"}},
                        "send_resolved": True,
                    }
                ]
            },
        ),
        (
            {"name": "chat", "slack": {"url": "https://hooks.example.com/2", "channel": "#a"}},
            {
                "slack_configs": [
                    {
                        "api_url": "https://hooks.example.com/2",
                        "channel": "#a",
                        "text": monitoring._TEXT,  # noqa: SLF001 - what it says is seen below
                        "send_resolved": True,
                    }
                ]
            },
        ),
        (
            {"name": "night", "pagerduty": {"routing_key": "k"}},
            {"pagerduty_configs": [{"routing_key": "k", "send_resolved": True}]},
        ),
        (
            MAIL,
            {
                "email_configs": [
                    {
                        "to": "a@example.com",
                        "from": "b@example.com",
                        "smarthost": "mail:587",
                        "auth_username": "u",
                        "auth_password": "p",
                        "html": monitoring._HTML,  # noqa: SLF001
                        "headers": {"Subject": 'exchange.example.com: {{ template "email.default.subject" . }}'},
                        "send_resolved": True,
                    }
                ]
            },
        ),
    ],
    ids=["webhook", "slack", "pagerduty", "email"],
)
def test_each_kind(one: dict[str, Any], expected: dict[str, Any]) -> None:
    assert receiver(configured(one), one["name"]) == {"name": one["name"], **expected}


def test_every_receiver_hears_its_severities_whoever_else_hears_them() -> None:
    routes = configured(HOOK, MAIL)["route"]["routes"]
    assert [(route["receiver"], route.get("matchers"), route.get("continue")) for route in routes[2:]] == [
        ("hook", None, True),
        ("mail", ["severity=~critical"], True),
    ]


def test_the_watchdog_alone_hears_that_all_is_well() -> None:
    made = configured(HOOK, watchdog={"url": "https://dead.example.com/man"})
    first = made["route"]["routes"][0]
    assert (first["receiver"], first["matchers"]) == ("Watchdog", ["alertname=Watchdog"])
    assert (first["group_interval"], first["repeat_interval"]) == ("1m", "4m30s")
    assert "continue" not in first
    assert receiver(made, "Watchdog")["webhook_configs"] == [
        {"url": "https://dead.example.com/man", "send_resolved": False}
    ]


def test_messages_lead_to_the_dashboard_that_their_alerts_name() -> None:
    chat = {"name": "chat", "slack": {"url": "https://hooks.example.com/2", "channel": "#a"}}
    night = {"name": "night", "pagerduty": {"routing_key": "k"}}
    made = configured(chat, night, MAIL, grafana="https://grafana.example.com")
    [slack] = receiver(made, "chat")["slack_configs"]
    [duty] = receiver(made, "night")["pagerduty_configs"]
    [mail] = receiver(made, "mail")["email_configs"]
    address = slack["title_link"]
    assert address.startswith("https://grafana.example.com/d/{{ .CommonLabels.dashboard }}?from=now-1h")
    assert "{{ with .CommonLabels.namespace }}&var-namespace={{ . }}{{ end }}" in address
    assert duty["links"] == [{"href": address, "text": "Dashboard"}]
    assert f'<a href="{address}">' in mail["html"]


def test_what_is_less_severe_is_not_told_besides() -> None:
    assert [(rule["source_matchers"], rule["target_matchers"]) for rule in configured()["inhibit_rules"]] == [
        (["severity=critical"], ["severity=~warning|info"]),
        (["severity=warning"], ["severity=~info"]),
    ]


def test_only_what_asks_for_a_secret_gets_one() -> None:
    remotes = [
        {"name": "a", "url": "https://a"},
        {"name": "b", "url": "https://b", "username": "u", "password": "p"},
        {"name": "c", "url": "https://c", "bearer_token": "t"},
    ]
    assert monitoring.remote_write_secrets(remotes) == {"remote-b": "p", "remote-c": "t"}


@pytest.mark.parametrize(
    ("probe", "target", "labels"),
    [
        (
            {"name": "app", "url": "https://shop.example.com/readyz", "through": "ingress.in.svc"},
            "https://ingress.in.svc/readyz",
            {"__param_module": "own", "__param_hostname": "shop.example.com"},
        ),
        (
            {"name": "app", "url": "https://shop.example.com:8443/readyz?a=b", "through": "ingress.in.svc"},
            "https://ingress.in.svc:8443/readyz?a=b",
            {"__param_module": "own", "__param_hostname": "shop.example.com"},
        ),
        ({"name": "app", "url": "http://other.example.com"}, "http://other.example.com", {"__param_module": "public"}),
    ],
)
def test_probes(probe: dict[str, Any], target: str, labels: dict[str, str]) -> None:
    expected = {"targets": [target], "labels": {"probe": "app", "instance": probe["url"], **labels}}
    assert monitoring.probe_targets([probe], ["shop.example.com"]) == [expected]
