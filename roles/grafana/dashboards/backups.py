"""Backups and drills: when the last good one was made, and when one was last seen to restore."""

from __future__ import annotations

from typing import Any

from dashboards.board import board, of_prometheus
from dashboards.links import HERE_LOGS, NAMESPACE_LOGS, logs
from dashboards.panels import Limits, Query, graph, stat

_HERE = 'namespace="$namespace"'


def backups() -> dict[str, Any]:
    """Return the dashboard."""
    jobs = logs("${namespace}", search="backup|drill", title="Log lines of backups and drills")
    everywhere = logs(search="backup|drill", title="Log lines of backups and drills, everywhere")
    return board(
        "backups",
        "Backups and drills",
        "Of every target and series. A backup counts once it has been restored and checked. docs/runbooks/backups.md.",
        {
            "Now": [
                stat(
                    "Newest good backup",
                    "s",
                    "How long ago; red above 26 h: docs/runbooks/backups.md, No backup.",
                    [
                        Query(
                            "time() - max by (target, series) "
                            f"(exchange_backup_last_success_timestamp_seconds{{{_HERE}}})",
                            "{{series}} {{target}}",
                        )
                    ],
                    [jobs, everywhere],
                    Limits(warning=90000, bad=93600),
                    width=6,
                    decimals=0,
                    nothing="none",
                ),
                stat(
                    "Proved by a drill",
                    "s",
                    "How long ago one was restored and checked; red above 8 days: the section No drill.",
                    [
                        Query(
                            "time() - max by (target, series) "
                            f"(exchange_backup_last_verified_timestamp_seconds{{{_HERE}}})",
                            "{{series}} {{target}}",
                        )
                    ],
                    [jobs, everywhere],
                    Limits(warning=7.5 * 86400, bad=8 * 86400),
                    width=6,
                    decimals=0,
                    nothing="never",
                ),
                stat(
                    "Bucket can be read",
                    "none",
                    "0: what is in it is not known; the exporter's log says why.",
                    [Query(f"min by (target) (exchange_backup_bucket_up{{{_HERE}}})", "{{target}}")],
                    [HERE_LOGS],
                    Limits(bad=1, low=True),
                    width=6,
                ),
                stat(
                    "Damaged backups",
                    "none",
                    "Any: the section Backups are gone or damaged.",
                    [Query(f"max by (target) (exchange_backup_damaged{{{_HERE}}})", "{{target}}")],
                    [HERE_LOGS],
                    Limits(bad=1),
                    width=6,
                ),
            ],
            "Backups": [
                graph(
                    "Good backups",
                    "none",
                    "It falls by more than the oldest one: somebody removes them.",
                    [
                        Query(
                            f"max by (namespace, target, series) (exchange_backup_good{{{_HERE}}})",
                            "{{series}} {{target}}",
                        )
                    ],
                    [NAMESPACE_LOGS],
                ),
                graph(
                    "What the newest holds",
                    "bytes",
                    "Half of the one before: the section A backup is much smaller.",
                    [
                        Query(
                            f"max by (namespace, target, series) (exchange_backup_last_plain_bytes{{{_HERE}}})",
                            "{{series}} {{target}}",
                        ),
                        Query(
                            f"max by (namespace, target, series) (exchange_backup_last_stored_bytes{{{_HERE}}})",
                            "{{series}} {{target}} stored",
                        ),
                    ],
                    [NAMESPACE_LOGS],
                ),
                graph(
                    "How long the newest took",
                    "s",
                    "As long as the schedule's pause: make it rarer, or the network faster.",
                    [
                        Query(
                            f"max by (namespace, target, series) (exchange_backup_last_duration_seconds{{{_HERE}}})",
                            "{{series}} {{target}}",
                        )
                    ],
                    [NAMESPACE_LOGS],
                ),
                graph(
                    "Age of the newest good backup",
                    "s",
                    "A saw: it falls with each backup, and must not pass 26 h.",
                    [
                        Query(
                            "time() - max by (namespace, target, series) "
                            f"(exchange_backup_last_success_timestamp_seconds{{{_HERE}}})",
                            "{{series}} {{target}}",
                        )
                    ],
                    [NAMESPACE_LOGS, jobs],
                    Limits(bad=93600),
                ),
                graph(
                    "Rows of the largest tables",
                    "none",
                    "In the newest backup; fewer than before is to be explained.",
                    [Query(f"topk(10, max by (namespace, table) (exchange_backup_last_rows{{{_HERE}}}))", "{{table}}")],
                    [NAMESPACE_LOGS],
                ),
                graph(
                    "Since WAL was archived",
                    "s",
                    "What would be lost with the cluster: docs/backups.md. It needs postgres_archive_target.",
                    [Query("pg_stat_archiver_last_archive_age", "{{namespace}}/{{pod}}")],
                    [NAMESPACE_LOGS],
                    Limits(bad=300),
                ),
            ],
            "Jobs and drills": [
                graph(
                    "Last job of each kind went well",
                    "none",
                    "0: the section A job failed, or A drill failed.",
                    [
                        Query(
                            f"min by (namespace, target, kind) (exchange_backup_report_success{{{_HERE}}})",
                            "{{kind}} {{target}}",
                        )
                    ],
                    [NAMESPACE_LOGS, jobs, everywhere],
                ),
                graph(
                    "Failures among the newest 20",
                    "none",
                    "Now and then: the log says whether it is always the same.",
                    [
                        Query(
                            f"max by (namespace, target, kind) (exchange_backup_reports_failed{{{_HERE}}})",
                            "{{kind}} {{target}}",
                        )
                    ],
                    [NAMESPACE_LOGS, jobs, everywhere],
                    Limits(warning=1),
                ),
                graph(
                    "How long each kind took",
                    "s",
                    "A drill tells how long a restore takes.",
                    [
                        Query(
                            f"max by (namespace, target, kind) (exchange_backup_report_duration_seconds{{{_HERE}}})",
                            "{{kind}} {{target}}",
                        )
                    ],
                    [NAMESPACE_LOGS, jobs, everywhere],
                ),
            ],
        },
        [of_prometheus("namespace", "Namespace", "exchange_backup_bucket_up", "Where the exporter is.")],
    )
