"""Neutral settings of an Ingress in each controller's words."""

from __future__ import annotations

import re
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.cryptoexchange.platform.plugins.filter.ingress_annotations import ingress_annotations
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.ingress_annotations import SETTINGS

F5, COMMUNITY = "nginx.org/", "nginx.ingress.kubernetes.io/"
# What F5's controller takes; it rejects an Ingress with anything else (internal/k8s/validation.go of v5.5.4).
F5_SYNTAX = {
    "client-max-body-size": r"\d+[kKmMgG]?",
    "proxy-connect-timeout": r"\d+s",
    "proxy-read-timeout": r"\d+s",
    "proxy-send-timeout": r"\d+s",
    "proxy-next-upstream-timeout": r"\d+s",
    "proxy-next-upstream-tries": r"\d+",
    "hsts-max-age": r"\d+",
    "ssl-redirect": "true|false",
    "hsts": "true|false",
    "hsts-include-subdomains": "true|false",
    "use-cluster-ip": "true|false",
    "websocket-services": r"[a-z0-9-]+(,[a-z0-9-]+)*",
    "proxy-next-upstream": r"[a-z_0-9]+( [a-z_0-9]+)*",
    "limit-req-rate": r"[1-9]\d*r/[sm]",
    "limit-req-key": r"\$\{[a-zA-Z_][a-zA-Z0-9_]*\}",
    "limit-req-zone-size": r"\d+[kKmM]?",
    "limit-req-burst": r"\d+",
    "limit-req-no-delay": "true|false",
    "limit-req-reject-code": r"[45]\d\d",
}
ALL: dict[str, Any] = {
    "body_size": "10m",
    "connect_timeout_seconds": 2,
    "read_timeout_seconds": 30,
    "send_timeout_seconds": 31,
    "ssl_redirect": True,
    "hsts": True,
    "hsts_max_age_seconds": 3600,
    "hsts_include_subdomains": False,
    "websocket_services": ["web", "ticker"],
    "next_upstream": ["error", "timeout"],
    "next_upstream_tries": 2,
    "next_upstream_timeout_seconds": 10,
    "use_cluster_ip": True,
    "requests_per_second": 20,
}


@pytest.mark.parametrize(
    ("settings", "f5", "community"),
    [
        ({}, {}, {}),
        ({"body_size": "0"}, {"client-max-body-size": "0"}, {"proxy-body-size": "0"}),
        ({"body_size": "2G"}, {"client-max-body-size": "2G"}, {"proxy-body-size": "2G"}),
        ({"connect_timeout_seconds": 2}, {"proxy-connect-timeout": "2s"}, {"proxy-connect-timeout": "2"}),
        ({"read_timeout_seconds": 3600}, {"proxy-read-timeout": "3600s"}, {"proxy-read-timeout": "3600"}),
        ({"send_timeout_seconds": 30}, {"proxy-send-timeout": "30s"}, {"proxy-send-timeout": "30"}),
        ({"ssl_redirect": False}, {"ssl-redirect": "false"}, {"ssl-redirect": "false"}),
        ({"websocket_services": []}, {}, {}),
        ({"websocket_services": ["a", "b"]}, {"websocket-services": "a,b"}, {}),
        (
            {"next_upstream": ["error", "http_502"], "next_upstream_tries": 2, "next_upstream_timeout_seconds": 5},
            {
                "proxy-next-upstream": "error http_502",
                "proxy-next-upstream-tries": "2",
                "proxy-next-upstream-timeout": "5s",
            },
            {
                "proxy-next-upstream": "error http_502",
                "proxy-next-upstream-tries": "2",
                "proxy-next-upstream-timeout": "5",
            },
        ),
        ({"use_cluster_ip": True}, {"use-cluster-ip": "true"}, {"service-upstream": "true"}),
        ({"requests_per_second": 0}, {}, {}),
        (
            {"requests_per_second": 20},
            {
                "limit-req-rate": "20r/s",
                "limit-req-key": "${binary_remote_addr}",
                "limit-req-zone-size": "10m",
                "limit-req-burst": "100",
                "limit-req-no-delay": "true",
                "limit-req-reject-code": "429",
            },
            {"limit-rps": "20", "limit-burst-multiplier": "5"},
        ),
    ],
)
def test_settings_in_each_controllers_words(
    settings: dict[str, Any], f5: dict[str, str], community: dict[str, str]
) -> None:
    assert ingress_annotations(settings, "f5") == {F5 + key: value for key, value in f5.items()}
    assert ingress_annotations(settings, "community") == {COMMUNITY + key: value for key, value in community.items()}
    assert ingress_annotations(settings, "existing") == {}


def test_hsts_of_one_ingress_is_f5s_alone() -> None:
    settings = {"hsts": True, "hsts_max_age_seconds": 60, "hsts_include_subdomains": True}
    assert ingress_annotations(settings, "f5") == {
        "nginx.org/hsts": "true",
        "nginx.org/hsts-max-age": "60",
        "nginx.org/hsts-include-subdomains": "true",
    }
    with pytest.raises(AnsibleFilterError, match=r"hsts can't be set for one Ingress.*ingress_nginx_hsts"):
        ingress_annotations(settings, "community")


def test_all_settings_are_tried_here_and_each_keeps_to_f5s_syntax() -> None:
    assert set(ALL) == set(SETTINGS)
    written = ingress_annotations(ALL, "f5")
    assert {name.removeprefix(F5) for name in written} == set(F5_SYNTAX)
    for name, value in written.items():
        assert re.fullmatch(F5_SYNTAX[name.removeprefix(F5)], value), (name, value)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"body_sise": "10m"}, ["body_sise", "expected one of body_size"]),
        ({"body_size": "10 MB"}, ["body_size is '10 MB'", "10m"]),
        ({"body_size": "5 potatoes"}, ["body_size is '5 potatoes'"]),
        ({"body_size": "10m;"}, ["body_size"]),
        ({"body_size": 10}, ["body_size is 10"]),
        ({"connect_timeout_seconds": 0}, ["connect_timeout_seconds is 0", "1 to 75"]),
        ({"connect_timeout_seconds": 76}, ["connect_timeout_seconds is 76"]),
        ({"read_timeout_seconds": "30s"}, ["read_timeout_seconds is '30s'", "whole number"]),
        ({"send_timeout_seconds": True}, ["send_timeout_seconds is True"]),
        ({"send_timeout_seconds": 1.5}, ["send_timeout_seconds is 1.5"]),
        ({"ssl_redirect": "yes"}, ["ssl_redirect is 'yes'", "true or false"]),
        ({"hsts": 1}, ["hsts is 1"]),
        ({"hsts_max_age_seconds": 60}, ["hsts_max_age_seconds", "without hsts"]),
        ({"hsts": True, "hsts_max_age_seconds": -1}, ["hsts_max_age_seconds is -1"]),
        ({"hsts": True, "hsts_include_subdomains": "no"}, ["hsts_include_subdomains is 'no'"]),
        ({"websocket_services": "web"}, ["websocket_services is 'web'", "list"]),
        ({"websocket_services": ["We b"]}, ["websocket_services", "names of Services"]),
        ({"next_upstream": []}, ["next_upstream is []"]),
        ({"next_upstream": ["error", "error"]}, ["next_upstream", "once"]),
        ({"next_upstream": ["http_418"]}, ["next_upstream", "http_502"]),
        ({"next_upstream": [{"a": 1}]}, ["next_upstream"]),
        ({"next_upstream_tries": 21}, ["next_upstream_tries is 21"]),
        ({"next_upstream_timeout_seconds": -1}, ["next_upstream_timeout_seconds is -1"]),
        ({"use_cluster_ip": "true"}, ["use_cluster_ip is 'true'"]),
        ({"requests_per_second": -5}, ["requests_per_second is -5"]),
    ],
)
@pytest.mark.parametrize("controller", ["f5", "existing"])
def test_anything_else_is_refused_by_name(settings: dict[str, Any], words: list[str], controller: str) -> None:
    with pytest.raises(AnsibleFilterError) as refused:
        ingress_annotations(settings, controller)
    assert all(word in str(refused.value) for word in words), refused.value


def test_an_unknown_controller_is_refused() -> None:
    with pytest.raises(AnsibleFilterError, match="'traefik': expected one of f5, community, existing"):
        ingress_annotations({}, "traefik")
