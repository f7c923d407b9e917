"""Ways from a panel to another dashboard, which carry the place and the time range along."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import DashboardLink

# What Grafana fills in: the label of the series, or the cell of the table, that was clicked.
OF_SERIES: Final = {name: f"${{__field.labels.{name}}}" for name in ("namespace", "pod", "node", "app")}
OF_LINE: Final = {name: f"${{__data.fields.{name}}}" for name in ("namespace", "pod", "node", "app", "dashboard")}
# A variable's value for everything; encoded, so that it isn't taken for a variable itself.
EVERY: Final = "%24__all"
LOGS: Final = "logs"


@dataclass(frozen=True)
class Link:
    """A link's title and address."""

    title: str
    url: str


def to(uid: str, title: str, variables: Mapping[str, str]) -> Link:
    """Return a link to a dashboard with these values of its variables, and the time range that is looked at."""
    chosen = "".join(f"&var-{name}={value}" for name, value in variables.items())
    return Link(title, f"/d/{uid}?${{__url_time_range}}{chosen}")


def logs(namespace: str = EVERY, pod: str = EVERY, *, search: str = "", title: str = "Log lines") -> Link:
    """Return a link to the log lines of a place; `search` is a regular expression that they contain."""
    # Grafana fills in no variable that is encoded.
    more = {"search": quote(search, safe="${}")} if search else {}
    return to(LOGS, title, {"namespace": namespace, "pod": pod, **more})


# Of the pod, or of the namespace, that a series is about.
POD_LOGS: Final = logs(OF_SERIES["namespace"], OF_SERIES["pod"])
NAMESPACE_LOGS: Final = logs(OF_SERIES["namespace"])
# Of the namespace that the dashboard's variable names.
HERE_LOGS: Final = logs("${namespace}")
POD: Final = to("pod", "This pod", {"namespace": OF_SERIES["namespace"], "pod": OF_SERIES["pod"]})


def data_link(link: Link) -> Builder[DashboardLink]:
    """Return a link as a builder of the SDK's."""
    return builders.DashboardLink(link.title).url(link.url)
