"""Filter drill_report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible_collections.cryptoexchange.platform.plugins.plugin_utils import drill_report as report

DOCUMENTATION = r"""
name: drill_report
short_description: What drills found, for a person
options:
  _input:
    description: Records, as the action postgres_drill returns them.
    type: list
    elements: dict
    required: true
  limits:
    description: The longest pause of writes in seconds with which a drill passes, by the drill's name.
    type: dict
    required: true
  title:
    description: Heading of the page.
    type: str
    required: true
  others:
    description: What drills of another kind have found (C(problems) and C(table)), by the drill's name.
    type: dict
    default: {}
author: The CryptoExchange platform authors
"""

EXAMPLES = r"""
lines: "{{ (records | cryptoexchange.platform.drill_report({'switchover': 5}, 'Drills')).table }}"
"""

RETURN = r"""
_value:
  description: C(table) (lines), C(page) (HTML) and C(problems) (sentences; none if every drill passed).
  type: dict
"""


def drill_report(
    trials: Sequence[Mapping[str, Any]],
    limits: Mapping[str, float],
    title: str,
    others: Mapping[str, Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """Return the drills as a table, as a page, and what is wrong."""
    found = others or {}
    problems = [f"{one['fault']}: {text}" for one in trials for text in report.problems(one, limits)]
    lines = [line for one in found.values() for line in one["table"]]
    return {
        "table": [*(report.table(trials, limits) if trials else []), *lines],
        "page": report.page(trials, limits, title, found),
        "problems": [*problems, *(f"{name}: {text}" for name, one in found.items() for text in one["problems"])],
    }


class FilterModule:
    """Make the filter known to Ansible."""

    def filters(self) -> dict[str, Callable[..., dict[str, Any]]]:
        return {"drill_report": drill_report}
