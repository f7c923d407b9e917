"""The ConfigMap of each controller."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.ingress_configuration import configuration

SETTINGS: dict[str, Any] = {
    "body_size": "10m",
    "connect_timeout_seconds": 2,
    "read_timeout_seconds": 30,
    "send_timeout_seconds": 31,
    "keepalive_timeout_seconds": 75,
    "worker_shutdown_timeout_seconds": 40,
    "ssl_redirect": True,
    "hsts": True,
    "hsts_max_age_seconds": 3600,
    "hsts_include_subdomains": False,
    "tls_protocols": ["TLSv1.2", "TLSv1.3"],
    "proxy_protocol": False,
    "trusted_proxies": [],
    "status_address": "",
    "extra": {},
}
BOTH = ["192.0.2.0/24", "198.51.100.1"]


@pytest.mark.parametrize(
    ("changed", "f5", "community"),
    [
        ({}, {"client-max-body-size": "10m"}, {"proxy-body-size": "10m"}),
        ({}, {"proxy-connect-timeout": "2s"}, {"proxy-connect-timeout": "2"}),
        ({}, {"proxy-read-timeout": "30s"}, {"proxy-read-timeout": "30"}),
        ({}, {"proxy-send-timeout": "31s"}, {"proxy-send-timeout": "31"}),
        ({}, {"keepalive-timeout": "75s"}, {"keep-alive": "75"}),
        ({}, {"keepalive": "0"}, {"upstream-keepalive-connections": "0"}),
        ({}, {"worker-shutdown-timeout": "40s"}, {"worker-shutdown-timeout": "40s"}),
        ({}, {"ssl-protocols": "TLSv1.2 TLSv1.3"}, {"ssl-protocols": "TLSv1.2 TLSv1.3"}),
        ({}, {"hsts": "true", "hsts-max-age": "3600"}, {"hsts": "true", "hsts-max-age": "3600"}),
        ({"hsts": False}, {"hsts": "false"}, {"hsts": "false"}),
        ({"hsts_include_subdomains": True}, {"hsts-include-subdomains": "true"}, {"hsts-include-subdomains": "true"}),
        ({"ssl_redirect": False}, {"ssl-redirect": "false"}, {"ssl-redirect": "false"}),
        ({}, {"http-redirect-code": "308"}, {"http-redirect-code": "308"}),
        ({}, {"server-tokens": "false"}, {"server-tokens": "false", "allow-snippet-annotations": "false"}),
        (
            {"trusted_proxies": BOTH},
            {
                "real-ip-header": "X-Forwarded-For",
                "real-ip-recursive": "true",
                "set-real-ip-from": "192.0.2.0/24,198.51.100.1",
            },
            {"use-forwarded-headers": "true", "proxy-real-ip-cidr": "192.0.2.0/24,198.51.100.1"},
        ),
        (
            {"trusted_proxies": BOTH, "proxy_protocol": True},
            {
                "proxy-protocol": "true",
                "real-ip-header": "proxy_protocol",
                "set-real-ip-from": "192.0.2.0/24,198.51.100.1",
            },
            {"use-proxy-protocol": "true", "proxy-real-ip-cidr": "192.0.2.0/24,198.51.100.1"},
        ),
        ({"status_address": "192.0.2.1"}, {"external-status-address": "192.0.2.1"}, {}),
        ({"extra": {"http2": False, "a": 5}}, {"http2": "false", "a": "5"}, {"http2": "false", "a": "5"}),
    ],
)
def test_settings_in_each_controllers_words(
    changed: dict[str, Any], f5: dict[str, str], community: dict[str, str]
) -> None:
    settings = {**SETTINGS, **changed}
    assert f5.items() <= configuration(settings, "f5").items()
    assert community.items() <= configuration(settings, "community").items()


@pytest.mark.parametrize("controller", ["f5", "community"])
def test_without_proxies_nobody_may_claim_an_address(controller: str) -> None:
    assert not [
        key for key in configuration(SETTINGS, controller) if re.search("real-ip|forwarded|proxy-protocol", key)
    ]


@pytest.mark.parametrize("controller", ["f5", "community"])
def test_values_are_text_of_one_line(controller: str) -> None:
    for key, value in configuration({**SETTINGS, "trusted_proxies": BOTH}, controller).items():
        assert isinstance(value, str), key
        assert "\n" not in value, key


@pytest.mark.parametrize(
    ("controller", "key", "request_id"),
    [("f5", "log-format", "$request_id"), ("community", "log-format-upstream", "$req_id")],
)
def test_a_log_line_is_json_that_names_the_request_and_no_query(controller: str, key: str, request_id: str) -> None:
    text = configuration(SETTINGS, controller)[key]
    assert "'" not in text, "F5's template quotes it with them"
    # NGINX's values are numbers or text without quotes.
    line = json.loads(re.sub(r"(?<=:)\$\w+(?=[,}])", "1", text))
    assert line["request_id"] == request_id
    assert {"time", "status", "method", "host", "path", "upstream_status", "ingress", "service"} <= set(line)
    assert not {"$request", "$request_uri", "$args", "$http_referer"} & set(map(str, line.values()))


def test_f5_passes_the_request_id_on() -> None:
    assert "X-Request-ID $request_id" in configuration(SETTINGS, "f5")["location-snippets"]
