"""The second server of a restore to a moment, rendered with sets of variables."""

from __future__ import annotations

from typing import Any

import kubernetes_validate
import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
from unit.templates import checks
from unit.templates.render import ROLES, render, sets, variables_of
from unit.templates.test_templates import MINORS

ROLE = "postgres"
SETS = ["default", "maximal"]
NAMES = ["configmap", "service", "statefulset"]


def rendered(chosen: str, **asked: str) -> list[dict[str, Any]]:
    """Return the ConfigMap, the Service and the StatefulSet."""
    variables = {
        **variables_of(ROLE, sets(ROLE)[chosen]),
        "postgres_point_in_time": {"login": "restore", "volume_size": asked.get("volume_size", "")},
        "__postgres_point_in_time": {"stanza": "7577", "target": asked.get("target", "2026-01-01 12:00:00+00")},
    }
    templar = Templar(DataLoader(), variables=variables)
    texts = [(ROLES / ROLE / "templates" / "restored" / f"{name}.yaml.j2").read_text() for name in NAMES]
    return [yaml.safe_load(templar.template(trust_as_template(text))) for text in texts]


@pytest.mark.parametrize("minor", MINORS)
@pytest.mark.parametrize("chosen", SETS)
def test_objects_are_valid(chosen: str, minor: str) -> None:
    for item in rendered(chosen):
        kubernetes_validate.validate(item, minor, strict=True)


@pytest.mark.parametrize("check", checks.ALL)
@pytest.mark.parametrize("chosen", SETS)
def test_objects_pass(chosen: str, check: str) -> None:
    assert checks.ALL[check](rendered(chosen)) == []


@pytest.mark.parametrize("chosen", SETS)
def test_nobody_takes_it_for_a_member(chosen: str) -> None:
    labels = rendered(chosen)[2]["spec"]["template"]["metadata"]["labels"].items()
    selectors = [
        item["spec"]["selector"] if item["kind"] == "Service" else item["spec"]["selector"]["matchLabels"]
        for item in render(ROLE, chosen).objects
        if item["kind"] in {"Service", "StatefulSet", "PodDisruptionBudget", "Deployment"}
    ]
    assert selectors
    assert not [selector for selector in selectors if selector.items() <= labels]


def test_it_lets_nobody_in_too_early_and_archives_nothing() -> None:
    lines = rendered("maximal")[0]["data"]["postgresql.conf"].splitlines()
    assert {"hot_standby = 'off'", "archive_mode = 'off'", "archive_command = '/bin/false'"} <= {*lines}


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (
            "2026-01-01 12:00:00+00",
            ["--type=time", "--target=2026-01-01 12:00:00+00", "--target-action=promote"],
        ),
        ("", []),
    ],
)
def test_what_it_is_brought_to(target: str, expected: list[str]) -> None:
    command = rendered("maximal", target=target)[2]["spec"]["template"]["spec"]["initContainers"][0]["command"]
    assert [word for word in command if word.startswith(("--type", "--target"))] == expected
    assert "--stanza=7577" in command


def test_its_room() -> None:
    sizes = [
        item[2]["spec"]["volumeClaimTemplates"][0]["spec"]["resources"]["requests"]["storage"]
        for item in (rendered("maximal"), rendered("maximal", volume_size="500Gi"))
    ]
    assert sizes == ["200Gi", "500Gi"]
