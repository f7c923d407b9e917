"""Prometheus' configuration and all of its rules, as the role renders them: promtool takes them."""

from __future__ import annotations

from pathlib import Path

import pytest
from unit.rules.test_rules import FILES, promtool
from unit.templates.render import render, sets


def files(chosen: str, name: str) -> dict[str, str]:
    """Return what a ConfigMap of the role holds."""
    (found,) = [
        item["data"]
        for item in render("monitoring", chosen).objects
        if item["kind"] == "ConfigMap" and item["metadata"]["name"] == name
    ]
    return dict(found)


@pytest.mark.parametrize("chosen", sets("monitoring"))
def test_promtool_takes_the_configuration(chosen: str, tmp_path: Path) -> None:
    file = tmp_path / "prometheus.yml"
    file.write_text(files(chosen, "prometheus")["prometheus.yml"])
    promtool("check", "config", "--syntax-only", "--lint-fatal", file)


@pytest.mark.parametrize("chosen", sets("monitoring"))
def test_promtool_takes_all_rules_together(chosen: str, tmp_path: Path) -> None:
    for name, content in files(chosen, "prometheus-rules").items():
        (tmp_path / name).write_text(content)
    promtool("check", "rules", "--lint=all", "--lint-fatal", *sorted(tmp_path.glob("*.yml")))


def test_rules_of_all_roles_are_among_them() -> None:
    assert {file.name for file in FILES} | {"objectives.yml"} == files("default", "prometheus-rules").keys()
