"""The controllers' ConfigMap, in each one's words, from neutral settings. Pure.

A controller ignores a value that it can't read, so what stands here is checked before (rules_ingress_nginx.py).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

# One line of JSON for each request. Paths without their query, which may carry tokens.
_LOG_FIELDS = {
    "time": "$time_iso8601",
    "remote_addr": "$remote_addr",
    "method": "$request_method",
    "host": "$host",
    "path": "$uri",
    "protocol": "$server_protocol",
    "status": "$status",
    "request_length": "$request_length",
    "bytes_sent": "$bytes_sent",
    "request_time": "$request_time",
    "upstream_addr": "$upstream_addr",
    "upstream_status": "$upstream_status",
    "upstream_response_time": "$upstream_response_time",
    "tls": "$ssl_protocol",
    "user_agent": "$http_user_agent",
}
_F5_LOG_FIELDS = {
    "request_id": "$request_id",
    "ingress_namespace": "$resource_namespace",
    "ingress": "$resource_name",
    "service": "$service",
}
_COMMUNITY_LOG_FIELDS = {
    "request_id": "$req_id",
    "ingress_namespace": "$namespace",
    "ingress": "$ingress_name",
    "service": "$service_name",
}
# NGINX writes these as numbers at all times; the rest may be empty or a list.
_NUMBERS = ("status", "request_length", "bytes_sent", "request_time")


def log_format(fields: Mapping[str, str]) -> str:
    """Return NGINX's log_format of one JSON object a line."""
    parts = [f'"{key}":{value}' if key in _NUMBERS else f'"{key}":{json.dumps(value)}' for key, value in fields.items()]
    return "{" + ",".join(parts) + "}"


def configuration(settings: Mapping[str, Any], controller: str) -> dict[str, str]:
    """Return the data of the controller's ConfigMap.

    Args:
        settings: `body_size`, `connect_timeout_seconds`, `read_timeout_seconds`, `send_timeout_seconds`,
            `keepalive_timeout_seconds`, `worker_shutdown_timeout_seconds`, `ssl_redirect`, `hsts`,
            `hsts_max_age_seconds`, `hsts_include_subdomains`, `tls_protocols` (list), `proxy_protocol`,
            `trusted_proxies` (list of networks), `status_address` (may be empty), and `extra`: keys of the controller
            itself, which win.
        controller: `f5` or `community`.
    """
    words = {"f5": _f5, "community": _community}[controller](settings)
    return {**words, **{str(key): _text(value) for key, value in settings["extra"].items()}}


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _f5(settings: Mapping[str, Any]) -> dict[str, str]:
    """Return the words of F5's controller (internal/configs/configmaps.go of v5.5.4)."""
    trusted = ",".join(settings["trusted_proxies"])
    data = {
        "client-max-body-size": settings["body_size"],
        "proxy-connect-timeout": f"{settings['connect_timeout_seconds']}s",
        "proxy-read-timeout": f"{settings['read_timeout_seconds']}s",
        "proxy-send-timeout": f"{settings['send_timeout_seconds']}s",
        # Connections to the application aren't kept: one that it closes while a request is on its way fails a POST.
        "keepalive": "0",
        "keepalive-timeout": f"{settings['keepalive_timeout_seconds']}s",
        "worker-shutdown-timeout": f"{settings['worker_shutdown_timeout_seconds']}s",
        "ssl-redirect": _text(settings["ssl_redirect"]),
        "http-redirect-code": "308",
        "hsts": _text(settings["hsts"]),
        "hsts-max-age": str(settings["hsts_max_age_seconds"]),
        "hsts-include-subdomains": _text(settings["hsts_include_subdomains"]),
        "http2": "true",
        "server-tokens": "false",
        "ssl-protocols": " ".join(settings["tls_protocols"]),
        "log-format": log_format({**_LOG_FIELDS, **_F5_LOG_FIELDS}),
        "log-format-escaping": "json",
        # The application logs the same id. Ingresses can't set snippets: -enable-snippets is off.
        "location-snippets": "proxy_set_header X-Request-ID $request_id;",
    }
    if settings["proxy_protocol"]:
        data |= {"proxy-protocol": "true", "real-ip-header": "proxy_protocol", "set-real-ip-from": trusted}
    elif trusted:
        data |= {"real-ip-header": "X-Forwarded-For", "real-ip-recursive": "true", "set-real-ip-from": trusted}
    if settings["status_address"]:
        data["external-status-address"] = settings["status_address"]
    return data


def _community(settings: Mapping[str, Any]) -> dict[str, str]:
    """Return the words of the community controller (docs/user-guide/nginx-configuration/configmap.md of v1.15.1)."""
    trusted = ",".join(settings["trusted_proxies"])
    data = {
        "proxy-body-size": settings["body_size"],
        "proxy-connect-timeout": str(settings["connect_timeout_seconds"]),
        "proxy-read-timeout": str(settings["read_timeout_seconds"]),
        "proxy-send-timeout": str(settings["send_timeout_seconds"]),
        "upstream-keepalive-connections": "0",
        "keep-alive": str(settings["keepalive_timeout_seconds"]),
        "worker-shutdown-timeout": f"{settings['worker_shutdown_timeout_seconds']}s",
        "ssl-redirect": _text(settings["ssl_redirect"]),
        "http-redirect-code": "308",
        "hsts": _text(settings["hsts"]),
        "hsts-max-age": str(settings["hsts_max_age_seconds"]),
        "hsts-include-subdomains": _text(settings["hsts_include_subdomains"]),
        "hsts-preload": "false",
        "use-http2": "true",
        "server-tokens": "false",
        "ssl-protocols": " ".join(settings["tls_protocols"]),
        "limit-req-status-code": "429",
        "log-format-upstream": log_format({**_LOG_FIELDS, **_COMMUNITY_LOG_FIELDS}),
        "log-format-escape-json": "true",
        "allow-snippet-annotations": "false",
        # The highest risk among the annotations that the filter ingress_annotations writes.
        "annotations-risk-level": "Medium",
    }
    if settings["proxy_protocol"]:
        data |= {"use-proxy-protocol": "true", "proxy-real-ip-cidr": trusted}
    elif trusted:
        data |= {"use-forwarded-headers": "true", "proxy-real-ip-cidr": trusted}
    return data
