"""Our policies of all namespaces as a run renders them, pods as they are and nearly so, and who may reach whom."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils import exchange_values
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.traffic import Connection, Matrix, is_allowed
from unit.charts import test_exchange as chart
from unit.plugins.plugin_utils.exchange_app_role import app
from unit.plugins.plugin_utils.test_exchange_values import CHECKSUMS, NONE, PLATFORM
from unit.templates.render import render, sets, variables_of

HERE = Path(__file__).resolve().parent
# Namespaces that carry policies of ours, and two that don't.
OURS = ("exchange-platform", "exchange-database", "exchange", "ingress-nginx")
OTHERS = ("monitoring", "kube-system")
OUTSIDE = "203.0.113.9"
# Of what somebody may open by mistake.
UNUSED_PORTS = (22, 5433, 10250)
UDP_PORTS = (53, 443, 5432)
# Ports that policies call by their names in the pods.
PORT_NAMES = {8000: "http"}
# The set of variables, in tests/unit/templates/postgres.yml, whose policies are held against the matrix.
SET = "policies"

Data = dict[str, Any]


def told(connection: Connection) -> str:
    """Return a connection as one line."""
    ends = f"{name(connection.source)} -> {name(connection.target)}"
    return f"{ends} {connection.protocol} {connection.port}"


def name(subject: Mapping[str, Any]) -> str:
    """Return how a subject is called: its namespace and labels, or its address."""
    if "address" in subject:
        return str(subject["address"])
    labels = (f"{key.rsplit('/', 1)[-1]}={value}" for key, value in sorted(subject["labels"].items()))
    return f"{subject['namespace']}/{','.join(labels) or '(no labels)'}"


@cache
def matrix() -> Matrix:
    """Return who may reach whom: in the database's namespace from its role, the rest from the file beside this one."""
    variables = variables_of("postgres", sets("postgres")[SET])
    own = Templar(DataLoader(), variables=variables).template(
        {name: variables[f"__postgres_{name}"] for name in ("ends", "traffic")}
    )
    others = yaml.safe_load((HERE / "other_namespaces.yml").read_text())
    # An end of the same name is the same pods, told more closely.
    return Matrix([*own["traffic"], *others["traffic"]], {**own["ends"], **others["ends"]}, OURS)


@cache
def policies() -> tuple[Data, ...]:
    """Return the NetworkPolicies of all namespaces."""
    release = exchange_values.values(
        app({"exchange_app_metrics_from": [{"namespace": "monitoring"}]}),
        {**PLATFORM, "database_host": "pgbouncer.exchange-database.svc"},
        NONE,
        CHECKSUMS,
    )
    rendered = [
        *render("platform", "default").objects,
        *render("postgres", SET).objects,
        *render("ingress_nginx", "default").objects,
        *({**item, "metadata": {"namespace": "exchange", **item["metadata"]}} for item in chart.render(release)),
    ]
    return tuple(item for item in rendered if item["kind"] == "NetworkPolicy")


def subjects() -> list[Data]:
    """Return pods of every end as they should be, with each one label missing, in every namespace; and an address."""
    groups = [peer.get("pod_labels") or {} for peers in matrix().ends.values() for peer in peers if "cidr" not in peer]
    variants = [labels for group in groups for labels in (group, *_without_one(group))]
    distinct = {tuple(sorted(labels.items())): dict(labels) for labels in [{}, *variants]}
    pods = [{"namespace": place, "labels": labels} for place in (*OURS, *OTHERS) for labels in distinct.values()]
    return [*pods, {"address": OUTSIDE}]


def _without_one(labels: Mapping[str, str]) -> Iterator[dict[str, str]]:
    for left_out in labels:
        yield {key: value for key, value in labels.items() if key != left_out}


@cache
def connections() -> tuple[tuple[Connection, bool], ...]:
    """Return connections between all subjects, on every port of the matrix and some others, and the matrix' verdicts.

    What doesn't touch a namespace of ours is nobody's business here.
    """
    ports = sorted({port for flow in matrix().flows for port in flow["ports"]} | {*UNUSED_PORTS})
    ends = [(port, "TCP", PORT_NAMES.get(port, "")) for port in ports] + [(port, "UDP", "") for port in UDP_PORTS]
    everyone = subjects()
    made = (
        Connection(source, target, *end)
        for source in everyone
        for target in everyone
        if {source.get("namespace"), target.get("namespace")} & {*OURS}
        for end in ends
    )
    return tuple((connection, is_allowed(matrix(), connection)) for connection in made)
