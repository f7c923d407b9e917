"""Every dashboard: as its code makes it, each panel with a unit, what to do and links that lead somewhere."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import yaml
from dashboard_queries import FOLDER, asked, dashboards, filled, panels, used_variables, variables
from dashboards.__main__ import everything
from dashboards.board import text
from unit.dashboards.metrics import PROJECT, is_collected, known, named
from unit.rules.test_rules import promtool

PANELS = [(uid, panel["title"], panel) for uid, content in dashboards().items() for panel in panels(content)]
IDS = [f"{uid}: {title}" for uid, title, _ in PANELS]
SOURCES = {
    source["uid"]
    for source in yaml.safe_load((PROJECT / "roles/grafana/vars/main.yml").read_text())["__grafana_own_sources"]
}
# A ConfigMap holds 1 MiB, with its metadata.
LARGEST_BYTES = 900_000


def links(panel: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = panel["fieldConfig"]["defaults"].get("links", [])
    return found


def test_they_are_as_the_code_makes_them() -> None:
    made = {f"{content['uid']}.json": text(content) for content in everything()}
    assert {path.name: path.read_text() for path in FOLDER.glob("*.json")} == made, "run: make dashboards"


def test_all_that_were_promised_are_there() -> None:
    promised = {"overview", "application", "exchange", "database", "ingress", "nodes", "pod", "backups", "logs"}
    assert set(dashboards()) == promised


@pytest.mark.parametrize("uid", dashboards())
def test_one_fits_into_a_configmap_and_is_found_by_its_tag(uid: str) -> None:
    assert (FOLDER / f"{uid}.json").stat().st_size < LARGEST_BYTES
    content = dashboards()[uid]
    assert content["description"]
    assert content["tags"] == ["cryptoexchange"]
    assert content["editable"] is False
    titles = [panel["title"] for panel in panels(content)]
    assert len(set(titles)) == len(titles)


@pytest.mark.parametrize(("uid", "title", "panel"), PANELS, ids=IDS)
def test_a_panel_says_what_it_counts_in_and_what_to_do(uid: str, title: str, panel: dict[str, Any]) -> None:
    assert panel["fieldConfig"]["defaults"]["unit"], uid
    assert len(panel["description"]) > len(title)
    assert panel["description"].endswith(".")
    assert panel["datasource"]["uid"] in SOURCES
    assert {target["datasource"]["uid"] for target in panel["targets"]} == {panel["datasource"]["uid"]}


@pytest.mark.parametrize(("uid", "title", "panel"), PANELS, ids=IDS)
def test_a_panel_leads_to_log_lines_of_the_same_place_and_time(uid: str, title: str, panel: dict[str, Any]) -> None:
    to_logs = [link for link in links(panel) if urlsplit(link["url"]).path == "/d/logs"]
    assert to_logs, f"{uid}: {title}"
    for link in to_logs:
        assert {"var-namespace", "var-pod"} <= dict(parse_qsl(urlsplit(link["url"]).query)).keys()


@pytest.mark.parametrize(("uid", "title", "panel"), PANELS, ids=IDS)
def test_links_lead_to_dashboards_with_such_variables(uid: str, title: str, panel: dict[str, Any]) -> None:
    for link in links(panel):
        address = urlsplit(link["url"])
        assert address.query.startswith("${__url_time_range}"), f"{uid}: {title}"
        # Grafana fills in no variable that is encoded.
        assert "%7B" not in link["url"], f"{uid}: {title}"
        if address.path == "/d/${__data.fields.dashboard}":
            # Of an alert: that each names one is seen by the tests of rules.
            assert all("dashboard" in target["expr"] or "ALERTS" in target["expr"] for target in panel["targets"])
            continue
        target = dashboards()[address.path.removeprefix("/d/")]
        chosen = dict(parse_qsl(address.query)).keys()
        assert {name.removeprefix("var-") for name in chosen} <= set(variables(target))
        # A series' label that the query doesn't leave would stay as it is written.
        for label in used_variables_of_series(link["url"]):
            assert all(leaves(target["expr"], label) for target in panel["targets"]), f"{uid}: {title}: {label}"


def used_variables_of_series(url: str) -> Iterator[str]:
    """Yield the labels of the series that a link is filled with."""
    for part in url.split("${__field.labels.")[1:]:
        yield part.partition("}")[0]


def leaves(expr: str, label: str) -> bool:
    """Say whether a query's series have a label: all labels are left, or those that it aggregates by."""
    aggregations = [part.partition(")")[0] for part in expr.split("by (")[1:]]
    aggregates = any(word in expr for word in ("sum(", "max(", "min(", "count(", "avg("))
    return any(label in names.split(", ") for names in aggregations) or not (aggregations or aggregates)


@pytest.mark.parametrize(
    ("expr", "label", "left"),
    [
        ("up", "pod", True),
        ("sum(up)", "pod", False),
        ("sum by (namespace, pod) (up)", "pod", True),
        ("sum by (namespace) (up)", "pod", False),
        ("topk(3, max by (node) (up))", "node", True),
    ],
)
def test_labels_that_a_query_leaves(expr: str, label: str, *, left: bool) -> None:
    assert leaves(expr, label) is left


@pytest.mark.parametrize("uid", dashboards())
def test_queries_use_variables_that_are_there_and_each_is_used(uid: str) -> None:
    content = dashboards()[uid]
    names = set(variables(content))
    texts = [target["expr"] for panel in panels(content) for target in panel["targets"]]
    texts += [str(variable.get("query", "")) for variable in variables(content).values()]
    used = {name for one in texts for name in used_variables(one)}
    assert {name for name in used if not name.startswith("__")} == names


@pytest.mark.parametrize("uid", dashboards())
def test_panels_lie_side_by_side(uid: str) -> None:
    for one, other in combinations(dashboards()[uid]["panels"], 2):
        a, b = one["gridPos"], other["gridPos"]
        apart = (
            a["x"] + a["w"] <= b["x"]
            or b["x"] + b["w"] <= a["x"]
            or a["y"] + a["h"] <= b["y"]
            or b["y"] + b["h"] <= a["y"]
        )
        assert apart, (one["title"], other["title"])
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in dashboards()[uid]["panels"])


def test_the_overview_is_one_screen() -> None:
    """24 rows of the grid, of 38 pixels each, fit on a screen of 1080 lines."""
    assert max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in dashboards()["overview"]["panels"]) <= 24


def test_every_metric_is_known() -> None:
    found = {name: one.name for one in asked() if one.source == "prometheus" for name in named(one.expr)}
    assert {name: where for name, where in found.items() if name not in known()} == {}


def test_every_metric_is_collected() -> None:
    found = {name: one.name for one in asked() if one.source == "prometheus" for name in named(one.expr)}
    assert {name: where for name, where in found.items() if not is_collected(name)} == {}


@pytest.mark.parametrize(
    ("name", "collected"),
    [
        ("node_load1", True),
        ("node_network_receive_bytes_total", False),
        ("node_unheard_of", False),
        ("kube_job_status_failed", True),
        ("kube_secret_info", False),
        ("go_gc_duration_seconds", False),
        ("up", True),
    ],
)
def test_what_is_collected(name: str, *, collected: bool) -> None:
    assert is_collected(name) is collected


def test_the_list_of_upstream_s_metrics_has_nothing_else() -> None:
    listed = yaml.safe_load((PROJECT / "tests/unit/dashboards/upstream.yml").read_text())
    used = {name for one in asked() if one.source == "prometheus" for name in named(one.expr)}
    assert {name for source in listed.values() for name in source["names"]} - used == set()


def test_what_is_asked_of_objectives_is_recorded() -> None:
    module = "ansible_collections.cryptoexchange.platform.plugins.plugin_utils.slo"
    slo = pytest.importorskip(module, reason="objectives aren't computed here")
    objective = {
        "name": "one",
        "objective_percent": 99.5,
        "window_days": 30,
        "good": "a[$window]",
        "total": "b[$window]",
    }
    recorded = {rule.get("record") for group in slo.rules([objective])["groups"] for rule in group["rules"]}
    used = {name for one in asked() for name in named(one.expr) if name.startswith("slo:")}
    assert used - recorded == set()


@pytest.mark.parametrize(
    ("expr", "names"),
    [
        ('sum by (le, view) (rate(a_bucket{b="c, d", e=~".+"}[5m])) > 0', {"a_bucket"}),
        ("histogram_quantile(0.99, a) or vector(0) and b offset 5m", {"a", "b"}),
        ("a / on (node) group_left () count by (node) (b)", {"a", "b"}),
        ("slo:sli_error:ratio_rate5m > bool 1e9", {"slo:sli_error:ratio_rate5m"}),
    ],
)
def test_names_in_an_expression(expr: str, names: set[str]) -> None:
    assert named(expr) == names


def test_promtool_parses_every_query(tmp_path: Any) -> None:
    """As rules that record it; what Grafana fills in is filled in."""
    every = {name: ".*" for content in dashboards().values() for name in variables(content)}
    rules = [
        {"record": f"panel_{number}", "expr": filled(one.expr, every)}
        for number, one in enumerate(asked())
        if one.source == "prometheus"
    ]
    assert len(rules) > 100
    file = tmp_path / "queries.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    promtool("check", "rules", "--lint-fatal", file)
