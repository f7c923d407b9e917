"""Readiness predicates over readiness.yml."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.readiness import is_ready, not_ready

CASES = yaml.safe_load(Path(__file__).with_name("readiness.yml").read_text())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["what"])
def test_readiness(case: dict[str, Any]) -> None:
    assert is_ready(case["live"]) is case["ready"]


def test_what_is_not_ready_is_named() -> None:
    live = {
        "kind": "Deployment",
        "apiVersion": "apps/v1",
        "metadata": {"name": "web", "namespace": "app", "generation": 1},
    }
    expected = [{"kind": "Deployment", "name": "web", "namespace": "app", "api_version": "apps/v1"}]
    assert not_ready({"result": live}) == expected
    assert not_ready({"result": {"results": [{"result": live}]}}) == expected
    assert not_ready({}) == []
