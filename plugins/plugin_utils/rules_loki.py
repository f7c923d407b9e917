"""Rules across the variables of roles/loki."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.cryptoexchange.platform.plugins.plugin_utils import checks
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.preflight import HIDDEN, Finding
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.quantity import parse_quantity
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.rules_postgres import peer_errors

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_GROUP = re.compile(r"\$([0-9])")
# What Go's expressions (RE2) don't have and Python's do: looking ahead or behind, and what a group has matched.
_NOT_RE2 = re.compile(r"\(\?(?:[=!>]|<[=!]|P=)|(?<!\\)(?:\\\\)*\\[1-9]")
_QUANTITIES = {
    "volume_size": "1Gi",
    "queue_size": "16Mi",
    "cpu_request": "10m",
    "memory_request": "64Mi",
    "memory_limit": "256Mi",
    "collector_cpu_request": "1m",
    "collector_memory_request": "48Mi",
    "collector_memory_limit": "96Mi",
}


def errors(values: Mapping[str, Any]) -> list[Finding]:
    """Return what is wrong with times, sizes, the bucket, masks and ends."""
    found: list[Finding] = []

    def value(name: str) -> Any:
        return values[f"loki_{name}"]

    def check(name: str, problem: str) -> None:
        if problem:
            found.append(Finding(f"loki_{name}", value(name), problem))

    check("retention_days", checks.between(value("retention_days"), 1, 3650))
    check("ingestion_rate_mib", checks.between(value("ingestion_rate_mib"), 1, 1024))
    check("ingestion_burst_mib", checks.between(value("ingestion_burst_mib"), 1, 4096))
    # A batch of the collector's is up to 1 MiB, and one line has to fit.
    check("line_size_kib", checks.between(value("line_size_kib"), 16, 1024))
    check("streams", checks.between(value("streams"), 100, 1_000_000))
    for name, least in _QUANTITIES.items():
        check(name, checks.quantity(value(name), least))
    for name in ("s3_ports", "api_server_ports"):
        found += [
            Finding(f"loki_{name}[{index}]", port, problem)
            for index, port in enumerate(value(name))
            if (problem := checks.port(port))
        ]
    for name in ("s3_to", "readers"):
        found += peer_errors(f"loki_{name}", value(name))
    # Ends in Loki's own namespace have policies of their own.
    found += [
        Finding(f"loki_readers[{index}]", peer, "expected another namespace: here Grafana and Prometheus are let in")
        for index, peer in enumerate(value("readers"))
        if peer.get("namespace") == values["platform_namespace_monitoring"]
    ]
    found += [
        Finding(f"loki_excluded_namespaces[{index}]", name, problem)
        for index, name in enumerate(value("excluded_namespaces"))
        if (problem := checks.dns_label(name))
    ]
    found += [
        Finding(f"loki_json_keys[{index}]", key, "expected letters, digits and '_'")
        for index, key in enumerate(value("json_keys"))
        if not _KEY.fullmatch(key)
    ]
    directory = value("node_directory")
    good = directory.startswith("/") and directory.strip("/") and ".." not in directory.split("/")
    check("node_directory", "" if good else "expected an absolute path below /")
    found += _bucket_errors(value("storage"), value("s3"))
    found += mask_errors(value("masks"))
    return found or _sizes(values)


def _bucket_errors(storage: str, bucket: Mapping[str, Any]) -> list[Finding]:
    """Return what is wrong with the bucket, if one is used; or that one is named and not used."""
    if storage != "s3":
        named = sorted(key for key, given in bucket.items() if given)
        expected = "expected nothing, since loki_storage is volume; or loki_storage: s3"
        return [Finding("loki_s3", named, expected)] if named else []
    found = [
        Finding(f"loki_s3.{key}", HIDDEN if key.endswith("key") else "", "expected a value, for loki_storage: s3")
        for key in ("endpoint", "bucket", "region", "access_key", "secret_key")
        if not bucket.get(key)
    ]
    if bucket.get("bucket") and not _BUCKET.fullmatch(bucket["bucket"]):
        found.append(Finding("loki_s3.bucket", bucket["bucket"], "expected the name of a bucket, without a path"))
    if bucket.get("endpoint"):
        parts = urlsplit(bucket["endpoint"])
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.path not in {"", "/"}:
            expected = "expected an address such as https://s3.example.com, without the bucket"
            found.append(Finding("loki_s3.endpoint", bucket["endpoint"], expected))
    return found


def mask_errors(masks: Mapping[str, Any]) -> list[Finding]:
    """Return which masks the collector wouldn't take, or wouldn't mask with."""
    found = []
    for name, mask in masks.items():
        path = f"loki_masks.{name}"
        if not isinstance(mask, Mapping) or set(mask) != {"pattern", "replacement"}:
            found.append(Finding(path, mask, "expected pattern and replacement"))
            continue
        pattern, replacement = str(mask["pattern"]), str(mask["replacement"])
        try:
            groups = re.compile(pattern).groups
        except re.error as error:
            found.append(Finding(f"{path}.pattern", pattern, f"expected a regular expression: {error}"))
            continue
        if _NOT_RE2.search(pattern):
            expected = "expected RE2: no looking ahead or behind, no references to groups"
            found.append(Finding(f"{path}.pattern", pattern, expected))
        if re.search(pattern, ""):
            found.append(Finding(f"{path}.pattern", pattern, "expected one that doesn't match everywhere"))
        unknown = [number for number in map(int, _GROUP.findall(replacement)) if not 1 <= number <= groups]
        if unknown:
            expected = f"expected groups up to ${groups}" if groups else "expected no group: the pattern has none"
            found.append(Finding(f"{path}.replacement", replacement, expected))
    return found


def _sizes(values: Mapping[str, Any]) -> list[Finding]:
    """Return what does not fit together, once every single value is right."""
    found = []
    for part in ("", "collector_"):
        request, limit = (f"loki_{part}memory_{kind}" for kind in ("request", "limit"))
        if parse_quantity(values[request]) > parse_quantity(values[limit]):
            found.append(Finding(request, values[request], f"expected at most {limit}, {values[limit]}"))
    if values["loki_ingestion_burst_mib"] < values["loki_ingestion_rate_mib"]:
        expected = f"expected at least loki_ingestion_rate_mib, {values['loki_ingestion_rate_mib']}"
        found.append(Finding("loki_ingestion_burst_mib", values["loki_ingestion_burst_mib"], expected))
    return found
