"""Panels as every dashboard here has them: with a unit, what to do about it, and a way to the log lines behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, Self, TypeVar

from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.builders import logs as logs_builders
from grafana_foundation_sdk.builders import loki as loki_builders
from grafana_foundation_sdk.builders import prometheus as prometheus_builders
from grafana_foundation_sdk.builders import stat as stat_builders
from grafana_foundation_sdk.builders import table as table_builders
from grafana_foundation_sdk.builders import timeseries as timeseries_builders
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models.common import (
    BigValueColorMode,
    BigValueGraphMode,
    DataSourceRef,
    GraphThresholdsStyleMode,
    LegendDisplayMode,
    LegendPlacement,
    LogsSortOrder,
    SortOrder,
    TooltipDisplayMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardLink,
    DataTransformerConfig,
    FieldColorModeId,
    Panel,
    Threshold,
    ThresholdsMode,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from dashboards.links import Link, data_link

PROMETHEUS: Final = DataSourceRef(type_val="prometheus", uid="prometheus")
LOKI: Final = DataSourceRef(type_val="loki", uid="loki")
GREEN, YELLOW, RED = "green", "yellow", "red"


@dataclass(frozen=True)
class Query:
    """What a data source is asked, and how each of its series is called."""

    expr: str
    legend: str = ""


@dataclass(frozen=True)
class Limits:
    """From where on a value is a warning, and bad; with `low`, below what it is bad."""

    warning: float | None = None
    bad: float | None = None
    low: bool = False

    def steps(self) -> list[Threshold]:
        """Return them as Grafana has them: the colour from each value on, the first one for everything below."""
        colours: list[tuple[float | None, str]]
        if self.low:
            colours = [(None, RED), (self.bad, GREEN if self.warning is None else YELLOW), (self.warning, GREEN)]
        else:
            colours = [(None, GREEN), (self.warning, YELLOW), (self.bad, RED)]
        ends = [colours[0], *(end for end in colours[1:] if end[0] is not None)]
        return [Threshold(value=value, color=colour) for value, colour in ends]


class _Common(Protocol):
    """What the builders of all kinds of panels can do."""

    def title(self, title: str) -> Self: ...
    def description(self, description: str) -> Self: ...
    def unit(self, unit: str) -> Self: ...
    def datasource(self, datasource: DataSourceRef) -> Self: ...
    def span(self, w: int) -> Self: ...
    def height(self, h: int) -> Self: ...
    def targets(self, targets: list[Builder[Dataquery]]) -> Self: ...
    def data_links(self, links: list[Builder[DashboardLink]]) -> Self: ...


_P = TypeVar("_P", bound=_Common)


def _common(
    panel: _P,
    title: str,
    unit: str,
    what_to_do: str,
    links: Sequence[Link],
    size: tuple[int, int],
    source: DataSourceRef,
) -> _P:
    """Give a panel what none is without."""
    width, height = size
    panel.title(title).unit(unit).description(what_to_do).datasource(source).span(width).height(height)
    return panel.data_links([data_link(link) for link in links])


def _asked(queries: Sequence[Query], *, instant: bool, as_table: bool = False) -> list[Builder[Dataquery]]:
    """Return queries of Prometheus."""
    asked: list[Builder[Dataquery]] = []
    for letter, query in zip("ABCDEFGH", queries, strict=False):
        one = prometheus_builders.Dataquery().expr(query.expr).legend_format(query.legend).ref_id(letter)
        one = one.datasource(PROMETHEUS).format(PromQueryFormat.TABLE if as_table else PromQueryFormat.TIME_SERIES)
        asked.append(one.instant() if instant else one.range())
    return asked


def _thresholds(limits: Limits) -> Builder[Any]:
    return builders.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(limits.steps())


def stat(
    title: str,
    unit: str,
    what_to_do: str,
    queries: Sequence[Query],
    links: Sequence[Link],
    limits: Limits | None = None,
    *,
    width: int = 4,
    decimals: int | None = None,
    nothing: str = "no data",
) -> Builder[Panel]:
    """Return a tile with the value of now, green or red if there are limits; `nothing` is what it says without one."""
    panel = _common(stat_builders.Panel(), title, unit, what_to_do, links, (width, 4), PROMETHEUS)
    panel.targets(_asked(queries, instant=True)).graph_mode(BigValueGraphMode.NONE).no_value(nothing)
    panel.reduce_options(common_builders.ReduceDataOptions().calcs(["lastNotNull"]))
    panel.color_mode(BigValueColorMode.BACKGROUND if limits else BigValueColorMode.VALUE)
    panel.thresholds(_thresholds(limits or Limits()))
    return panel.decimals(decimals) if decimals is not None else panel


def graph(
    title: str,
    unit: str,
    what_to_do: str,
    queries: Sequence[Query],
    links: Sequence[Link],
    limits: Limits | None = None,
    *,
    width: int = 8,
    source: DataSourceRef = PROMETHEUS,
    below_zero: bool = False,
) -> Builder[Panel]:
    """Return a graph over time; limits are drawn as lines."""
    panel = _common(timeseries_builders.Panel(), title, unit, what_to_do, links, (width, 8), source)
    panel.targets(_asked(queries, instant=False) if source is PROMETHEUS else _searched(queries)).fill_opacity(8)
    legend = common_builders.VizLegendOptions().display_mode(LegendDisplayMode.TABLE).placement(LegendPlacement.BOTTOM)
    panel.legend(legend.calcs(["lastNotNull", "max"]).show_legend(show_legend=True))
    panel.tooltip(common_builders.VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING))
    panel.color_scheme(builders.FieldColor().mode(FieldColorModeId.PALETTE_CLASSIC))
    if limits:
        panel.thresholds(_thresholds(limits))
        panel.thresholds_style(common_builders.GraphThresholdsStyleConfig().mode(GraphThresholdsStyleMode.DASHED))
    return panel if below_zero else panel.min(0)


def table(
    title: str,
    unit: str,
    what_to_do: str,
    queries: Sequence[Query],
    links: Sequence[Link],
    *,
    columns: Sequence[str],
    width: int = 24,
    height: int = 8,
) -> Builder[Panel]:
    """Return a table of what holds now, a line for each series; `columns` are labels, the value is the last one."""
    panel = _common(table_builders.Panel(), title, unit, what_to_do, links, (width, height), PROMETHEUS)
    panel.targets(_asked(queries, instant=True, as_table=True))
    order = {name: number for number, name in enumerate([*columns, "Value"])}
    shown = {"include": {"names": list(order)}}
    panel.with_transformation(DataTransformerConfig(id_val="filterFieldsByName", options=shown))
    return panel.with_transformation(DataTransformerConfig(id_val="organize", options={"indexByName": order}))


def _searched(queries: Sequence[Query]) -> list[Builder[Dataquery]]:
    """Return queries of Loki."""
    return [
        loki_builders.Dataquery()
        .expr(query.expr)
        .legend_format(query.legend)
        .ref_id(letter)
        .query_type("range")
        .datasource(LOKI)
        for letter, query in zip("ABCDEFGH", queries, strict=False)
    ]


def lines(
    title: str, what_to_do: str, query: str, links: Sequence[Link], *, width: int = 24, height: int = 16
) -> Builder[Panel]:
    """Return log lines, the newest first. The data source itself links a line to its request and to its pod."""
    panel = _common(logs_builders.Panel(), title, "none", what_to_do, links, (width, height), LOKI)
    panel.targets(_searched([Query(query)])).show_time(show_time=True).wrap_log_message(wrap_log_message=True)
    return panel.enable_log_details(enable_log_details=True).sort_order(LogsSortOrder.DESCENDING)
