"""What panels and variables of the committed dashboards ask their data sources."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parents[1] / "roles" / "grafana" / "files" / "dashboards"
# What Grafana fills in by itself; $__range is of the dashboards' own time range.
BUILT_IN = {"__rate_interval": "5m", "__auto": "5m", "__range": "1h", "__interval": "1m", "__all": "$__all"}
_VARIABLE = re.compile(r"\$\{(\w+)(?::\w+)?\}|\$(\w+)")


@dataclass(frozen=True)
class Asked:
    """One query of a panel."""

    dashboard: str
    panel: str
    source: str
    expr: str

    @property
    def name(self) -> str:
        """Return where it is."""
        return f"{self.dashboard}: {self.panel}"


@cache
def dashboards() -> dict[str, dict[str, Any]]:
    """Return the dashboards by their uid."""
    contents = [json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))]
    return {content["uid"]: content for content in contents}


def panels(content: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return a dashboard's panels, without its rows."""
    return [panel for panel in content["panels"] if panel["type"] != "row"]


def variables(content: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return a dashboard's variables by name."""
    return {variable["name"]: variable for variable in content.get("templating", {}).get("list", [])}


def asked() -> Iterator[Asked]:
    """Yield every query of every panel."""
    for uid, content in dashboards().items():
        for panel in panels(content):
            for target in panel["targets"]:
                yield Asked(uid, panel["title"], target["datasource"]["uid"], target["expr"])


def used_variables(text: str) -> set[str]:
    """Return the names of the variables in a text."""
    return {match[1] or match[2] for match in _VARIABLE.finditer(text)}


def filled(text: str, values: Mapping[str, str]) -> str:
    """Return a text with its variables filled in.

    Raises:
        KeyError: one has no value.
    """
    known = {**BUILT_IN, **values}
    return _VARIABLE.sub(lambda match: known[match[1] or match[2]], text)
