"""Every variable of roles/ingress_nginx, set wrongly: the error names it, its value and what is allowed."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils import rules_ingress_nginx
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.preflight import Role, find_errors

ROLE = Path(__file__).resolve().parents[4] / "roles" / "ingress_nginx"
OPTIONS: dict[str, dict[str, Any]] = yaml.safe_load((ROLE / "meta" / "argument_specs.yml").read_text())[
    "argument_specs"
]["main"]["options"]
INGRESS = Role("ingress_nginx", OPTIONS, frozenset(), rules_ingress_nginx.errors)
PREFIX = "ingress_nginx_"


def computed_defaults() -> dict[str, Any]:
    defaults = DataLoader().load_from_file(str(ROLE / "defaults" / "main.yml"), trusted_as_template=True)
    platform = {
        "platform_namespace_app": "exchange",
        "platform_components": ["ingress_nginx", "exchange_app"],
        "platform_scrapers": [],
    }
    values: dict[str, Any] = Templar(loader=DataLoader(), variables={**platform, **defaults}).template(defaults)
    return values


GOOD = computed_defaults()


def errors(**changed: Any) -> list[str]:
    values = {**copy.deepcopy(GOOD), **{f"{PREFIX}{name}": value for name, value in changed.items()}}
    return find_errors([INGRESS], values, names=list(values))


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"controller": "existing"},
        {"controller": "community"},
        {"controller": "community", "watched_namespaces": []},
        {"watched_namespaces": ["exchange", "monitoring"]},
        {"service_type": "NodePort", "node_port_http": 30080, "node_port_https": 30443},
        {"service_type": "NodePort", "node_port_http": 32767, "node_port_https": 30000},
        {"service_type": "ClusterIP"},
        {"load_balancer_source_ranges": ["192.0.2.0/24", "2001:db8::/32"]},
        {"proxy_protocol": True, "trusted_proxies": ["10.0.0.0/8"]},
        {"trusted_proxies": ["10.1.2.3"]},
        {"body_size": "0"},
        {"body_size": "2g"},
        {"status_address": "192.0.2.1"},
        {"status_address": "lb.example.com"},
        {"tls_protocols": ["TLSv1.3"]},
        {"extra_configuration": {"worker-connections": 4096, "http2": False, "a": "b"}},
        {"keepalive_timeout_seconds": 0},
        {"memory_request": "512Mi", "memory_limit": "512Mi"},
        {"cpu_limit": "2"},
    ],
)
def test_good_values_pass(changed: dict[str, Any]) -> None:
    assert errors(**changed) == []


@pytest.mark.parametrize(
    ("changed", "name", "words"),
    [
        ({"controller": "traefik"}, "controller", ["'traefik'", "allowed: f5, community, existing"]),
        ({"replicas": 0}, "replicas", ["is 0", "1 to 100"]),
        ({"replicas": "two"}, "replicas", ["'two'", "int"]),
        ({"cpu_request": "5 potatoes"}, "cpu_request", ["'5 potatoes'", "Kubernetes quantity"]),
        ({"cpu_limit": "much"}, "cpu_limit", ["'much'", "Kubernetes quantity"]),
        ({"memory_request": "1Mi"}, "memory_request", ["'1Mi'", "at least 32Mi"]),
        ({"memory_limit": "64Mi", "memory_request": "64Mi"}, "memory_limit", ["'64Mi'", "at least 128Mi"]),
        ({"memory_limit": "200Mi"}, "memory_limit", ["'200Mi'", "ingress_nginx_memory_request (256Mi)"]),
        ({"anti_affinity": "never"}, "anti_affinity", ["allowed: preferred, required"]),
        ({"node_selector": ["edge"]}, "node_selector", ["expected dict"]),
        ({"tolerations": "all"}, "tolerations", ["expected list of dict"]),
        ({"service_type": "HostPort"}, "service_type", ["allowed: LoadBalancer, NodePort, ClusterIP"]),
        ({"service_type": "NodePort", "node_port_http": 80}, "node_port_http", ["is 80", "30000 to 32767"]),
        ({"service_type": "NodePort", "node_port_https": 32768}, "node_port_https", ["is 32768"]),
        ({"node_port_http": -1}, "node_port_http", ["is -1"]),
        ({"service_type": "ClusterIP", "node_port_http": 30080}, "node_port_http", ["expected 0", "ClusterIP"]),
        ({"node_port_http": 30080, "node_port_https": 30080}, "node_port_https", ["another port"]),
        ({"external_traffic_policy": "Global"}, "external_traffic_policy", ["allowed: Local, Cluster"]),
        ({"service_annotations": "a=b"}, "service_annotations", ["expected dict"]),
        (
            {"service_type": "NodePort", "load_balancer_class": "a/b"},
            "load_balancer_class",
            ["'a/b'", "expected none", "NodePort"],
        ),
        (
            {"service_type": "ClusterIP", "load_balancer_source_ranges": ["192.0.2.0/24"]},
            "load_balancer_source_ranges",
            ["expected none"],
        ),
        (
            {"load_balancer_source_ranges": ["192.0.2.0/33"]},
            "load_balancer_source_ranges",
            ["'192.0.2.0/33'", "network"],
        ),
        ({"trusted_proxies": ["10.0.0.1/8"]}, "trusted_proxies", ["'10.0.0.1/8'", "10.0.0.0/8"]),
        ({"trusted_proxies": ["everybody"]}, "trusted_proxies", ["'everybody'"]),
        ({"trusted_proxies": "10.0.0.0/8"}, "trusted_proxies", ["expected list"]),
        ({"proxy_protocol": True}, "trusted_proxies", ["expected the proxies' networks", "proxy_protocol"]),
        ({"proxy_protocol": "perhaps"}, "proxy_protocol", ["bool"]),
        ({"status_address": "not an address"}, "status_address", ["'not an address'", "host name or an IP"]),
        ({"tls_protocols": []}, "tls_protocols", ["at least one"]),
        ({"tls_protocols": ["TLSv1.1"]}, "tls_protocols", ["TLSv1.1", "TLSv1.2, TLSv1.3"]),
        ({"hsts_max_age_seconds": -1}, "hsts_max_age_seconds", ["is -1"]),
        ({"body_size": "10 MB"}, "body_size", ["'10 MB'", "10m"]),
        ({"body_size": "-1m"}, "body_size", ["'-1m'"]),
        ({"connect_timeout_seconds": 0}, "connect_timeout_seconds", ["is 0", "1 to 75"]),
        ({"read_timeout_seconds": "30s"}, "read_timeout_seconds", ["'30s'", "int"]),
        ({"send_timeout_seconds": 0}, "send_timeout_seconds", ["is 0"]),
        ({"keepalive_timeout_seconds": -1}, "keepalive_timeout_seconds", ["is -1"]),
        ({"worker_shutdown_timeout_seconds": 0}, "worker_shutdown_timeout_seconds", ["is 0"]),
        ({"pre_stop_seconds": 0}, "pre_stop_seconds", ["is 0", "1 to 300"]),
        ({"check_timeout_seconds": 0}, "check_timeout_seconds", ["is 0", "4 to 600"]),
        ({"extra_configuration": {"a": ["b"]}}, "extra_configuration.a", ['["b"]', "text, a number or a boolean"]),
        ({"backend_ports": []}, "backend_ports", ["at least one"]),
        ({"backend_ports": [0]}, "backend_ports", ["0: expected 1 to 65535"]),
        ({"api_server_ports": [65536]}, "api_server_ports", ["65536"]),
        ({"metrics_namespaces": ["Monitoring"]}, "metrics_namespaces", ["'Monitoring'", "lower-case"]),
        ({"watched_namespaces": ["a b"]}, "watched_namespaces", ["'a b'"]),
        ({"watched_namespaces": ["a", "a"]}, "watched_namespaces", ["once"]),
        (
            {"controller": "community", "watched_namespaces": ["a", "b"]},
            "watched_namespaces",
            ["one namespace at most", "f5"],
        ),
        ({"replicsa": 3}, "replicsa", ["did you mean ingress_nginx_replicas?"]),
    ],
)
def test_a_bad_value_is_named_with_what_is_allowed(changed: dict[str, Any], name: str, words: list[str]) -> None:
    found = errors(**changed)
    assert len(found) == 1, found
    assert found[0].startswith(f"{PREFIX}{name} is"), found
    assert all(word in found[0] for word in words), found


def test_all_errors_come_at_once() -> None:
    found = errors(replicas=0, body_size="x", trusted_proxies=["x"], service_type="ClusterIP", node_port_http=1)
    assert len(found) == 4, found
