"""Is it fine? One screen."""

from __future__ import annotations

from typing import Any

from dashboards.board import board
from dashboards.links import EVERY, NAMESPACE_LOGS, OF_LINE, Link, logs, to
from dashboards.panels import Limits, Query, graph, stat, table

_ERRORS = 'sum(rate(django_http_responses_total_by_status_view_method_total{status=~"5.."}[5m]))'
_ALL = "sum(rate(django_http_responses_total_by_status_view_method_total[5m]))"


# What is of no namespace is of all, for the links: that is how an address says it.
_FIRING = 'ALERTS{alertstate="firing", alertname!="Watchdog"}'


def _more(uid: str, title: str) -> Link:
    return to(uid, title, {})


def overview() -> dict[str, Any]:
    """Return the dashboard."""
    application, database, nodes = (
        _more("application", "Application"),
        _more("database", "Database"),
        _more("nodes", "Nodes"),
    )
    backups, ingress = _more("backups", "Backups"), _more("ingress", "Ingress")
    everywhere = logs(EVERY)
    return board(
        "overview",
        "Overview",
        "Is it fine? Green is; each tile leads to the dashboard that says more.",
        {
            "What users feel": [
                stat(
                    "Critical alerts",
                    "none",
                    "Anything but 0: the table below names them; begin with their runbooks.",
                    [Query('count(ALERTS{alertstate="firing", severity="critical"}) or vector(0)')],
                    [everywhere],
                    Limits(bad=1),
                ),
                stat(
                    "Warnings",
                    "none",
                    "To be looked at in working hours: the table below names them.",
                    [Query('count(ALERTS{alertstate="firing", severity="warning"}) or vector(0)')],
                    [everywhere],
                    Limits(warning=1),
                ),
                stat(
                    "Requests",
                    "reqps",
                    "0 while people are there: look at the ingress first.",
                    [Query(_ALL)],
                    [application, everywhere],
                    decimals=1,
                ),
                stat(
                    "Requests that failed",
                    "percentunit",
                    "The share of answers 5xx in 5 minutes. Red: see which views on the dashboard Application.",
                    [Query(f"({_ERRORS} or vector(0)) / ({_ALL} > 0)")],
                    [application, everywhere],
                    Limits(warning=0.001, bad=0.01),
                    decimals=2,
                    nothing="no requests",
                ),
                stat(
                    "99 of 100 answered within",
                    "s",
                    "Slow everywhere: look at locks and longest queries of the database. Slow in one view: "
                    "Application.",
                    [
                        Query(
                            "histogram_quantile(0.99, sum by (le) "
                            "(rate(django_http_requests_latency_including_middlewares_seconds_bucket[5m])))"
                        )
                    ],
                    [application, everywhere],
                    Limits(warning=0.5, bad=2),
                    decimals=2,
                    nothing="no requests",
                ),
                stat(
                    "Reachable through the ingress",
                    "percentunit",
                    "The share of probes that succeed now. Red: compare the ingress' own figures with the "
                    "application's.",
                    [Query("avg(probe_success)")],
                    [ingress, everywhere],
                    Limits(warning=1, bad=0.99, low=True),
                    nothing="no probes",
                ),
            ],
            "What it stands on": [
                stat(
                    "Primaries",
                    "none",
                    "1 is right. 0: nobody can write; more: split. docs/runbooks says what to do.",
                    [Query("sum(patroni_primary)")],
                    [database, everywhere],
                    Limits(bad=1, low=True),
                ),
                stat(
                    "Members that answer",
                    "percentunit",
                    "Below 100 %: one failure less can be borne; see Database.",
                    [Query("avg(pg_up)")],
                    [database, everywhere],
                    Limits(warning=1, bad=0.5, low=True),
                    decimals=0,
                ),
                stat(
                    "Oldest newest backup",
                    "s",
                    "How long ago the newest good backup was made, of the series and target with the "
                    "longest. Red above 26 h.",
                    [Query("time() - min(max by (target, series) (exchange_backup_last_success_timestamp_seconds))")],
                    [backups, everywhere],
                    Limits(warning=86400 + 3600, bad=26 * 3600),
                    decimals=0,
                    nothing="no backup",
                ),
                stat(
                    "Backup proved",
                    "s",
                    "How long ago a backup was last restored and checked. Red above 8 days.",
                    [Query("time() - min(max by (target, series) (exchange_backup_last_verified_timestamp_seconds))")],
                    [backups, everywhere],
                    Limits(warning=7.5 * 86400, bad=8 * 86400),
                    decimals=0,
                    nothing="never",
                ),
                stat(
                    "Fullest volume",
                    "percentunit",
                    "Red from 90 %: docs/runbooks/full-disk.md.",
                    [Query("1 - min(kubelet_volume_stats_available_bytes / kubelet_volume_stats_capacity_bytes)")],
                    [nodes, everywhere],
                    Limits(warning=0.8, bad=0.9),
                    decimals=0,
                ),
                stat(
                    "Targets that can't be asked",
                    "none",
                    "What isn't collected can raise no alert: docs/runbooks/monitoring.md.",
                    [Query("count(up == 0) or vector(0)")],
                    [everywhere],
                    Limits(warning=1),
                    decimals=0,
                ),
            ],
            "Since when": [
                table(
                    "Alerts that fire",
                    "none",
                    "Critical ones first: the runbook of each stands in its message; a line's links lead to "
                    "the dashboard that shows why, and to the logs of its place.",
                    [Query(f'label_replace({_FIRING}, "namespace", "$$__all", "namespace", "")')],
                    [
                        to(OF_LINE["dashboard"], "The dashboard of this alert", {"namespace": OF_LINE["namespace"]}),
                        logs(OF_LINE["namespace"], title="Log lines of the namespace"),
                        *_pod_of_line(),
                    ],
                    columns=["severity", "alertname", "namespace", "pod", "node", "dashboard"],
                    width=12,
                ),
                graph(
                    "Exceptions of the application",
                    "cps",
                    "A step up: click on it for the lines of its namespace; each traceback carries its request's id.",
                    [
                        Query(
                            "sum by (namespace) (rate(django_http_exceptions_total_by_view_total[$__rate_interval]))",
                            "{{namespace}}",
                        )
                    ],
                    [NAMESPACE_LOGS],
                    width=12,
                ),
            ],
        },
    )


def _pod_of_line() -> list[Link]:
    return [logs(OF_LINE["namespace"], OF_LINE["pod"], title="Log lines of the pod")]
