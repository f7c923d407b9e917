"""From an objective to rules: how fast the errors that it allows are used up, over several windows.

The windows and what fires come from the SRE workbook (https://sre.google/workbook/alerting-on-slos/, "Multiwindow,
Multi-Burn-Rate Alerts"): an alert needs a long window, in which a part of the allowed errors was used up, and a short
one, by which it ends soon after the errors do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# The uid of the dashboard that shows why.
DASHBOARD = "application"
RUNBOOK = "docs/runbooks/application.md#errors-or-slowness"
# Where a range stands in a query.
WINDOW = "$window"


@dataclass(frozen=True)
class Burn:
    """An alert: the part of all allowed errors that was used up within the long window, and how bad that is."""

    part: float
    long: str
    hours: int
    short: str
    severity: str


# For 30 days: 14.4, 6, 3 times and once as fast as the objective allows.
BURNS = (
    Burn(0.02, "1h", 1, "5m", "critical"),
    Burn(0.05, "6h", 6, "30m", "critical"),
    Burn(0.10, "1d", 24, "2h", "warning"),
    Burn(0.10, "3d", 72, "6h", "warning"),
)


def rules(objectives: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return a rule file of Prometheus': what is counted, and the alerts.

    Good and all requests are recorded as rates over five minutes. Longer windows are averages of these, so that each
    request counts once and a query over three days reads one series instead of every pod's.

    Args:
        objectives: each with ``name``, ``objective_percent``, ``window_days``, ``good`` and ``total``, queries with
            ``$window`` that return one value each.
    """
    return {
        "groups": [{"name": f"objective-{one['name']}", "rules": [*_records(one), *_alerts(one)]} for one in objectives]
    }


def errors(objective: Mapping[str, Any]) -> dict[str, str]:
    """Return what is wrong with an objective: the key, and what was expected."""
    found = {}
    if not 0 < objective["objective_percent"] < 100:  # noqa: PLR2004
        found["objective_percent"] = "expected more than 0 and less than 100: at 100 a single error breaks it"
    if not 7 <= objective["window_days"] <= 90:  # noqa: PLR2004
        found["window_days"] = "expected 7 to 90"
    for key in ("good", "total"):
        if WINDOW not in objective[key]:
            found[key] = "expected a query with [$window] where its range stands"
    return found


def burns(objective: Mapping[str, Any]) -> list[tuple[Burn, float]]:
    """Return the alerts of an objective, each with how many times too fast errors come when it fires.

    Left out is what would fire while the objective is kept (a factor below 1, with a short window) and what could never
    fire since not even errors alone are so many.
    """
    allowed = allowed_errors(objective)
    factors = [(burn, burn.part * objective["window_days"] * 24 / burn.hours) for burn in BURNS]
    return [(burn, factor) for burn, factor in factors if factor >= 1 and factor * allowed < 1]


def allowed_errors(objective: Mapping[str, Any]) -> float:
    """Return the part of all requests that may fail."""
    return round(1 - float(objective["objective_percent"]) / 100, 10)


def _records(objective: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the recording rules."""
    labels = {"slo": objective["name"]}
    chosen = f'{{slo="{objective["name"]}"}}'
    good, total = (objective[key].replace(WINDOW, "5m") for key in ("good", "total"))
    # Nothing at all is good where there was never anything good.
    recorded = [("slo:good:rate5m", f"({good}) or 0 * ({total})"), ("slo:total:rate5m", total)]
    recorded += [
        (_ratio(window), f"1 - {_average('good', window, chosen)} / {_average('total', window, chosen)}")
        for window in [
            *(window for burn in BURNS for window in (burn.short, burn.long)),
            f"{objective['window_days']}d",
        ]
    ]
    whole = _ratio(f"{objective['window_days']}d")
    recorded.append(("slo:budget_left:ratio", f"1 - {whole}{chosen} / {allowed_errors(objective):g}"))
    unique = dict(recorded)
    return [{"record": name, "expr": query, "labels": dict(labels)} for name, query in unique.items()]


def _alerts(objective: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the alerts."""
    name, percent, days = objective["name"], objective["objective_percent"], objective["window_days"]
    chosen = f'{{slo="{name}"}}'
    made = []
    for burn, factor in burns(objective):
        limit = f"{factor:g} * {allowed_errors(objective):g}"
        made.append(
            {
                "alert": "ErrorBudgetBurns",
                "expr": f"{_ratio(burn.long)}{chosen} > {limit} and {_ratio(burn.short)}{chosen} > {limit}",
                # Not of a single scrape, when there is no more history yet.
                "for": "2m",
                "labels": {"severity": burn.severity, "dashboard": DASHBOARD, "slo": name, "window": burn.long},
                "annotations": {
                    "summary": (
                        f"{{{{ $value | humanizePercentage }}}} of all requests within {burn.long} missed the "
                        f"objective {name} ({percent:g} % in {days} days): at least {factor:g} times what it allows."
                    ),
                    "runbook": RUNBOOK,
                },
            }
        )
    return made


def _ratio(window: str) -> str:
    return f"slo:errors:ratio_rate{window}"


def _average(kind: str, window: str, chosen: str) -> str:
    series = f"slo:{kind}:rate5m{chosen}"
    return series if window == "5m" else f"avg_over_time({series}[{window}])"
