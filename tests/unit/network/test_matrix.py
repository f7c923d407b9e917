"""The rendered NetworkPolicies of all namespaces allow what the matrix allows, and nothing else."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.traffic import Connection, Matrix, is_allowed
from network import cyclonus, world
from network.policies import allowed

COMPONENT = "app.kubernetes.io/component"


def wrong(policies: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yield what policies treat otherwise than the matrix says."""
    for connection, expected in world.connections():
        if allowed(policies, connection) is not expected:
            yield f"{world.told(connection)} is {'refused' if expected else 'allowed'}"


def test_the_policies_are_as_the_matrix_says() -> None:
    assert list(wrong(world.policies())) == []


def test_every_flow_is_met_by_a_connection() -> None:
    everything = world.matrix()
    seen = [connection for connection, expected in world.connections() if expected]
    unmet = [
        flow
        for flow in everything.flows
        if not any(is_allowed(Matrix([flow], everything.ends, everything.closed), connection) for connection in seen)
    ]
    assert unmet == []


def test_every_namespace_of_ours_is_closed() -> None:
    denied = {item["metadata"]["namespace"] for item in world.policies() if item["metadata"]["name"] == "default-deny"}
    assert denied == {*world.OURS}


@pytest.mark.parametrize("left_out", [(p["metadata"]["namespace"], p["metadata"]["name"]) for p in world.policies()])
def test_the_comparison_notices_a_missing_policy(left_out: tuple[str, str]) -> None:
    rest = [p for p in world.policies() if (p["metadata"]["namespace"], p["metadata"]["name"]) != left_out]
    # That one repeats what `exchange` allows, for the pod that has to run before it is there.
    noticed = left_out != ("exchange", "exchange-migrate")
    assert any(wrong(rest)) is noticed


def test_the_comparison_notices_a_rule_that_lets_too_many_in() -> None:
    policies = copy.deepcopy(list(world.policies()))
    postgres = next(item for item in policies if item["metadata"]["name"] == "postgres")
    postgres["spec"]["ingress"][0]["from"].append({"namespaceSelector": {}})
    found = list(wrong(policies))
    assert found
    assert all("-> exchange-database/" in line and line.endswith("TCP 5432 is allowed") for line in found)


def answerable(connection: Connection) -> bool:
    """Say whether cyclonus reads our policies as Kubernetes does: not for pods that lack the label of a NotIn."""
    pods = [subject for subject in (connection.source, connection.target) if subject.get("namespace") == "exchange"]
    return all(COMPONENT in pod["labels"] for pod in pods)


def test_cyclonus_agrees_with_the_matrix() -> None:
    """Put everything that is allowed to it, and a fixed choice of the rest."""
    known = [one for one in world.connections() if answerable(one[0])]
    chosen = [one for one in known if one[1]] + random.Random(1).sample([one for one in known if not one[1]], 20_000)
    answers = cyclonus.verdicts(world.policies(), [connection for connection, _ in chosen])
    found = [
        f"{world.told(connection)} is {'allowed' if answer else 'refused'}"
        for (connection, expected), answer in zip(chosen, answers, strict=True)
        if answer is not expected
    ]
    assert found == []
