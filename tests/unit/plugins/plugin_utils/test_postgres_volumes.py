"""Which volumes have to grow, which can't shrink, and which have not grown yet."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.postgres_volumes import not_grown, plan

LABELS = {"app.kubernetes.io/name": "postgres"}


def claim(number: int, asked: str, has: str = "", **others: Any) -> dict[str, Any]:
    """Return a member's claim."""
    return {
        "metadata": {"name": f"data-postgres-{number}", "labels": {**LABELS, "more": "yes"}},
        "spec": {"storageClassName": "fast", "resources": {"requests": {"storage": asked}}},
        "status": {"capacity": {"storage": has or asked}, **others},
    }


OTHER = {**claim(7, "1Gi"), "metadata": {"name": "scratch", "labels": {}}}


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        pytest.param([], {"grow": [], "classes": [], "shrink": ""}, id="none yet"),
        pytest.param([claim(0, "10Gi"), OTHER], {"grow": [], "classes": [], "shrink": ""}, id="as wanted"),
        pytest.param([claim(0, "10240Mi")], {"grow": [], "classes": [], "shrink": ""}, id="as wanted, in other words"),
        pytest.param(
            [claim(1, "5Gi"), claim(0, "10Gi"), claim(2, "5Gi")],
            {"grow": ["data-postgres-1", "data-postgres-2"], "classes": ["fast"], "shrink": ""},
            id="some are smaller, as after a stopped run",
        ),
        pytest.param(
            [claim(0, "20Gi"), claim(1, "5Gi")],
            {"grow": ["data-postgres-1"], "classes": ["fast"], "shrink": "data-postgres-0 has 20Gi"},
            id="one is larger",
        ),
    ],
)
def test_what_has_to_become_of_volumes(claims: list[dict[str, Any]], expected: dict[str, Any]) -> None:
    assert plan(claims, LABELS, "10Gi") == expected


def test_a_claim_of_the_default_class_names_none() -> None:
    one = claim(0, "5Gi")
    del one["spec"]["storageClassName"]
    assert plan([one], LABELS, "10Gi")["classes"] == [""]


def test_what_has_not_grown_says_why() -> None:
    waiting = claim(0, "10Gi", "5Gi", conditions=[{"type": "Resizing", "message": "waiting for the driver"}])
    claims = [waiting, claim(1, "10Gi"), claim(2, "10Gi", "5Gi")]
    names = ["data-postgres-0", "data-postgres-1"]
    assert not_grown(claims, names, "10Gi") == ["data-postgres-0 has 5Gi (waiting for the driver)"]
    assert not_grown([], names, "10Gi") == []
