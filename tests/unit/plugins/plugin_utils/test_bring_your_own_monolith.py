"""The example of docs/bring-your-own-monolith.md is accepted, and makes what the chart's own example makes."""

from __future__ import annotations

import re
from typing import Any

import yaml
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.exchange_values import values
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.preflight import check_types, find_errors
from unit.charts.test_exchange import PROJECT, example, find, pod_of, render
from unit.plugins.plugin_utils.exchange_app_role import EXCHANGE_APP, app
from unit.plugins.plugin_utils.test_exchange_values import CHECKSUMS, NONE, PLATFORM


def inventory() -> dict[str, Any]:
    text = (PROJECT / "docs" / "bring-your-own-monolith.md").read_text()
    (block,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    found: dict[str, Any] = yaml.safe_load(block)
    return found


def test_preflight_accepts_it() -> None:
    given = app(inventory())
    assert find_errors([EXCHANGE_APP], given, names=list(given)) == []


def test_it_makes_the_same_processes_as_the_chart_s_example() -> None:
    _, given = check_types(EXCHANGE_APP, app(inventory()))
    platform = {**PLATFORM, "domain": "shop.example.com", "database_name": "shop", "instance": "shop"}
    objects = render(values(given, platform, NONE, CHECKSUMS))
    for name in ("shop-web", "shop-celery", "shop-beat"):
        ours, theirs = (pod_of(find(made, "Deployment", name)) for made in (objects, example("monolith.yaml")))
        assert ours["spec"] == theirs["spec"]
    job, expected = (
        pod_of(find(made, "CronJob", "shop-clear-sessions")) for made in (objects, example("monolith.yaml"))
    )
    assert job["spec"] == expected["spec"]
