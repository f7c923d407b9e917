"""Which metrics a query names, and which there are: in this project's own sources, and upstream's as a list."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from exchange_backup import exporter

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parents[2]
# In this order: what may hold words that are no metrics.
_NO_METRICS = (
    re.compile(r'"(?:[^"\\]|\\.)*"'),
    re.compile(r"\{[^{}]*\}"),
    re.compile(r"\[[^\]]*\]"),
    re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^()]*\)"),
)
_WORD = re.compile(r"(?<![\w:.])([a-zA-Z_:][\w:]*)\b(?!\s*\()")
_KEYWORDS = frozenset({"and", "or", "unless", "bool", "offset", "on", "by", "group_left", "group_right", "inf", "nan"})
# Called with the name, or given to something that is.
_OF_CLIENT = re.compile(r'\b(Counter|Gauge|Histogram)[(,]\s*"([a-z_]+)"')
# node-exporter's part that tells what begins so, as far as dashboards ask for it.
_COLLECTORS = {
    "node_cpu_": "cpu",
    "node_disk_": "diskstats",
    "node_filesystem_": "filesystem",
    "node_load": "loadavg",
    "node_memory_": "meminfo",
    "node_network_": "netdev",
}
_ENDINGS = {"Counter": ("_total",), "Gauge": ("",), "Histogram": ("_bucket", "_sum", "_count")}


def named(expr: str) -> set[str]:
    """Return the metrics that a PromQL expression names."""
    for pattern in _NO_METRICS:
        expr = pattern.sub(" ", expr)
    return {word for word in _WORD.findall(expr) if word.lower() not in _KEYWORDS}


def of_source(text: str) -> set[str]:
    """Return the metrics that Python code defines with prometheus_client."""
    found = set()
    for kind, name in _OF_CLIENT.findall(text):
        bare = name.removesuffix("_total") if kind == "Counter" else name
        found |= {bare + ending for ending in _ENDINGS[kind]}
    return found


def load(path: str) -> Any:
    return yaml.safe_load((PROJECT / path).read_text())


@cache
def known() -> frozenset[str]:
    """Return the names of metrics that there are."""
    django = importlib.util.find_spec("django_prometheus.middleware")
    assert django is not None
    assert django.origin is not None
    sources = [Path(django.origin), *(PROJECT / "app").glob("*/*.py")]
    found = {name for source in sources for name in of_source(source.read_text())}
    for prefix, query in load("roles/postgres/vars/main.yml")["__postgres_exporter_queries"].items():
        metrics = [(name, metric) for one in query["metrics"] for name, metric in one.items()]
        found |= {f"{prefix}_{name}" for name, metric in metrics if metric["usage"] != "LABEL"}
    found |= set(exporter.HELP)
    found |= {
        name for source in load(str(HERE.relative_to(PROJECT) / "upstream.yml")).values() for name in source["names"]
    }
    return frozenset(found)


@cache
def kept() -> dict[str, list[re.Pattern[str]]]:
    """Return what roles/monitoring keeps of sources that say more, by the beginning of their names."""
    variables = load("roles/monitoring/vars/main.yml")

    def patterns(*names: str) -> list[re.Pattern[str]]:
        listed: Iterable[str] = (one for name in names for one in variables.get(f"__monitoring_{name}_series", []))
        return [re.compile(one) for one in listed]

    found = {
        "container_": patterns("container"),
        "kubelet_": patterns("kubelet"),
        "kube_": patterns("state"),
    }
    return {beginning: listed for beginning, listed in found.items() if listed}


def is_told_by_nodes(name: str) -> bool:
    """Say whether roles/monitoring has node-exporter look at what a metric tells of."""
    asked = load("roles/monitoring/vars/main.yml")["__monitoring_node_collectors"]
    return any(part in asked for beginning, part in _COLLECTORS.items() if name.startswith(beginning))


def is_collected(name: str) -> bool:
    """Say whether roles/monitoring collects a metric, and keeps it."""
    if name.startswith("node_"):
        return is_told_by_nodes(name)
    dropped = load("roles/monitoring/vars/main.yml").get("__monitoring_dropped_series", [])
    return not any(re.fullmatch(pattern, name) for pattern in dropped) and all(
        any(pattern.fullmatch(name) for pattern in listed)
        for beginning, listed in kept().items()
        if name.startswith(beginning)
    )
