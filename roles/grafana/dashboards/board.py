"""A dashboard out of rows of panels, and its JSON as it is committed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    Panel,
    VariableModel,
    VariableOption,
    VariableRefresh,
    VariableSort,
)

from dashboards.panels import LOKI, PROMETHEUS

TAG: Final = "cryptoexchange"
Variables = Sequence[Builder[VariableModel]]
Rows = Mapping[str, Sequence[Builder[Panel]]]
# What the SDK says of links beside title and address; a data link has none of it, and `placement` would put those of a
# dashboard into a menu.
_LINK_EXTRAS: Final = ("type", "icon", "tooltip", "tags", "asDropdown", "includeVars", "keepTime", "placement")


def board(uid: str, title: str, description: str, rows: Rows, variables: Variables = ()) -> dict[str, Any]:
    """Return a dashboard's JSON: rows by their titles, the panels of each from left to right."""
    made = (
        builders.Dashboard(title)
        .uid(uid)
        .description(description)
        .tags([TAG])
        .timezone("browser")
        .time("now-1h", "now")
        .refresh("30s")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .readonly()
        .variables(list(variables))
        .links([_to_the_others()])
    )
    for name, panels in rows.items():
        made.with_row(builders.Row(name))
        for panel in panels:
            made.with_panel(panel)
    content: dict[str, Any] = json.loads(json.dumps(made.build(), cls=JSONEncoder))
    for number, panel in enumerate(content["panels"], 1):
        panel["id"] = number
        for link in panel.get("fieldConfig", {}).get("defaults", {}).get("links", []):
            for key in _LINK_EXTRAS:
                del link[key]
    for link in content["links"]:
        del link["placement"]
    return content


def text(content: Mapping[str, Any]) -> str:
    """Return a dashboard as a file."""
    return json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _to_the_others() -> Builder[Any]:
    link = builders.DashboardLink("Dashboards").type(DashboardLinkType.DASHBOARDS).tags([TAG])
    return link.as_dropdown(as_dropdown=True).keep_time(keep_time=True)


def of_prometheus(name: str, label: str, metric: str, what: str, *, every: bool = False) -> Builder[VariableModel]:
    """Return a variable with the values that a label of a metric has now; `every`: all of them, to begin with."""
    query = builders.QueryVariable(name).label(label).description(what).datasource(PROMETHEUS)
    query.query({"query": f"label_values({metric}, {name})", "refId": name}).refresh(
        VariableRefresh.ON_TIME_RANGE_CHANGED
    )
    query.sort(VariableSort.ALPHABETICAL_ASC)
    return _every(query, ".*") if every else query


def of_loki(name: str, label: str, selector: str, what: str, everything: str) -> Builder[VariableModel]:
    """Return a variable with the values that a label of log lines has now, and all of them to begin with."""
    query = builders.QueryVariable(name).label(label).description(what).datasource(LOKI)
    query.query({"type": 1, "label": name, "stream": selector, "refId": name})
    query.refresh(VariableRefresh.ON_TIME_RANGE_CHANGED).sort(VariableSort.ALPHABETICAL_ASC)
    return _every(query, everything)


def typed(name: str, label: str, what: str) -> Builder[VariableModel]:
    """Return a variable that a person types; empty to begin with."""
    return builders.TextBoxVariable(name).label(label).description(what).default_value("")


def chosen(name: str, label: str, values: Sequence[str], what: str) -> Builder[VariableModel]:
    """Return a variable with fixed values, of which all hold to begin with."""
    variable = builders.CustomVariable(name).label(label).description(what).values(",".join(values))
    variable.include_all(include_all=True).all_value(".*").multi(multi=True)
    return variable.current(VariableOption(selected=True, text="All", value="$__all"))


def _every(query: builders.QueryVariable, everything: str) -> Builder[VariableModel]:
    query.include_all(include_all=True).all_value(everything).multi(multi=True)
    return query.current(VariableOption(selected=True, text="All", value="$__all"))
