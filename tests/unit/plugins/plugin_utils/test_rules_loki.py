"""What preflight finds wrong with the variables of roles/loki."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.rules_loki import errors, mask_errors
from unit.templates.render import ROLES, sets, variables_of

BUCKET = {"endpoint": "https://s3.example.com", "bucket": "logs", "region": "eu", "access_key": "a", "secret_key": "b"}


def values(**changed: Any) -> dict[str, Any]:
    """Return the defaults as preflight sees them, with some values changed."""
    options = yaml.safe_load((ROLES / "loki" / "meta" / "argument_specs.yml").read_text())
    variables = variables_of("loki", sets("loki")["default"])
    names = [*options["argument_specs"]["main"]["options"], "platform_namespace_monitoring"]
    return Templar(DataLoader(), variables).template({name: variables[name] for name in names}) | changed


def test_the_defaults_are_right() -> None:
    assert errors(values()) == []


def test_a_bucket_is_right() -> None:
    assert errors(values(loki_storage="s3", loki_s3=BUCKET)) == []


@pytest.mark.parametrize(
    ("name", "value", "where", "words"),
    [
        ("loki_retention_days", -1, "loki_retention_days", "1 to 3650"),
        ("loki_retention_days", 0, "loki_retention_days", "1 to 3650"),
        ("loki_ingestion_rate_mib", 0, "loki_ingestion_rate_mib", "1 to 1024"),
        ("loki_ingestion_burst_mib", 8, "loki_ingestion_burst_mib", "at least loki_ingestion_rate_mib, 16"),
        ("loki_line_size_kib", 2048, "loki_line_size_kib", "16 to 1024"),
        ("loki_streams", 1, "loki_streams", "100 to"),
        ("loki_volume_size", "10", "loki_volume_size", "at least 1Gi"),
        ("loki_queue_size", "much", "loki_queue_size", "quantity"),
        ("loki_queue_size", "1Mi", "loki_queue_size", "at least 16Mi"),
        ("loki_memory_request", "2Gi", "loki_memory_request", "at most loki_memory_limit, 1Gi"),
        ("loki_collector_memory_limit", "64Mi", "loki_collector_memory_limit", "at least 96Mi"),
        (
            "loki_collector_memory_request",
            "1Gi",
            "loki_collector_memory_request",
            "at most loki_collector_memory_limit",
        ),
        ("loki_s3_ports", [70000], "loki_s3_ports[0]", "1 to 65535"),
        ("loki_api_server_ports", [443, 0], "loki_api_server_ports[1]", "1 to 65535"),
        ("loki_s3_to", [{}], "loki_s3_to[0]", "expected a namespace, or a cidr"),
        ("loki_readers", [{"cidr": "10.0.0.0"}, {"cidr": "x"}], "loki_readers[1]", "a network"),
        ("loki_readers", [{"namespace": "exchange-monitoring"}], "loki_readers[0]", "another namespace"),
        ("loki_excluded_namespaces", ["*"], "loki_excluded_namespaces[0]", "lower-case"),
        ("loki_json_keys", ["a.b"], "loki_json_keys[0]", "letters"),
        ("loki_node_directory", "collector", "loki_node_directory", "absolute path"),
        ("loki_node_directory", "/", "loki_node_directory", "absolute path"),
        ("loki_node_directory", "/var/../etc", "loki_node_directory", "absolute path"),
        ("loki_s3", BUCKET, "loki_s3", "loki_storage: s3"),
    ],
)
def test_bad_values_are_named(name: str, value: Any, where: str, words: str) -> None:
    [found] = errors(values(**{name: value}))
    assert found.variable == where
    assert words in found.expected


@pytest.mark.parametrize(
    ("changed", "where", "words"),
    [
        ({"bucket": ""}, "loki_s3.bucket", "a value"),
        ({"bucket": "logs/here"}, "loki_s3.bucket", "without a path"),
        ({"endpoint": ""}, "loki_s3.endpoint", "a value"),
        ({"endpoint": "s3.example.com"}, "loki_s3.endpoint", "such as https"),
        ({"endpoint": "https://s3.example.com/logs"}, "loki_s3.endpoint", "without the bucket"),
        ({"region": ""}, "loki_s3.region", "a value"),
        ({"secret_key": ""}, "loki_s3.secret_key", "a value"),
    ],
)
def test_a_bucket_needs_all_it_needs(changed: dict[str, str], where: str, words: str) -> None:
    [found] = errors(values(loki_storage="s3", loki_s3=BUCKET | changed))
    assert found.variable == where
    assert words in found.expected


@pytest.mark.parametrize(
    ("mask", "where", "words"),
    [
        ({"pattern": "a("}, "loki_masks.own", "pattern and replacement"),
        ("a", "loki_masks.own", "pattern and replacement"),
        ({"pattern": "a(", "replacement": "*"}, "loki_masks.own.pattern", "regular expression"),
        ({"pattern": "(?=a)b", "replacement": "*"}, "loki_masks.own.pattern", "RE2"),
        ({"pattern": "(?<!a)b", "replacement": "*"}, "loki_masks.own.pattern", "RE2"),
        ({"pattern": r"(a)\1", "replacement": "*"}, "loki_masks.own.pattern", "RE2"),
        ({"pattern": "a*", "replacement": "*"}, "loki_masks.own.pattern", "everywhere"),
        ({"pattern": "(a)", "replacement": "$2"}, "loki_masks.own.replacement", "up to $1"),
        ({"pattern": "a", "replacement": "$1"}, "loki_masks.own.replacement", "none"),
    ],
)
def test_a_mask_that_would_not_mask_is_refused(mask: Any, where: str, words: str) -> None:
    [found] = mask_errors({"own": mask})
    assert found.variable == where
    assert words in found.expected


def test_the_masks_of_the_role_are_right() -> None:
    own = yaml.safe_load((ROLES / "loki" / "vars" / "main.yml").read_text())["__loki_own_masks"]
    assert mask_errors(own) == []
    assert all(re.search(r"\*\*\*", mask["replacement"]) for mask in own.values())
