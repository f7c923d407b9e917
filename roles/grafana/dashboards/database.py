"""PostgreSQL: who leads, who follows how closely, and what holds queries up."""

from __future__ import annotations

from typing import Any

from dashboards.board import board, of_prometheus
from dashboards.links import HERE_LOGS, POD_LOGS, logs
from dashboards.panels import Limits, Query, graph, stat

_HERE = 'namespace="$namespace"'
_APPLICATIONS = f'{_HERE}, datname!~"template.*|postgres"'


def database() -> dict[str, Any]:
    """Return the dashboard."""
    slow = logs("${namespace}", search="duration: |still waiting for", title="Slow statements and waits, in the log")
    patroni = logs("${namespace}", search="promot|demot|leader|failover", title="What Patroni says of leadership")
    return board(
        "database",
        "Database",
        "PostgreSQL. Figures labelled with a pod are of the exporter that asks the member of the same number.",
        {
            "Now": [
                stat(
                    "Primaries",
                    "none",
                    "1 is right. 0: docs/runbooks/lost-quorum.md; more: split-network.md.",
                    [Query(f"sum(patroni_primary{{{_HERE}}})")],
                    [patroni],
                    Limits(bad=1, low=True),
                ),
                stat(
                    "Members that answer",
                    "none",
                    "Fewer than there are: one failure less can be borne.",
                    [Query(f"sum(pg_up{{{_HERE}}})")],
                    [HERE_LOGS],
                    Limits(warning=3, bad=1, low=True),
                ),
                stat(
                    "Changes of the primary in 24 h",
                    "none",
                    "Each was a failover or a switchover; nobody needs to act on one.",
                    [Query(f"sum(changes(patroni_primary{{{_HERE}}}[24h])) / 2 or vector(0)")],
                    [patroni],
                    Limits(warning=1),
                    decimals=0,
                ),
                stat(
                    "Standby furthest behind",
                    "bytes",
                    "Red from 256 MiB: it won't be promoted. docs/runbooks/corrupted-replica.md.",
                    [Query(f"max(exchange_standby_lag_bytes{{{_HERE}}})")],
                    [HERE_LOGS],
                    Limits(warning=64 << 20, bad=256 << 20),
                ),
                stat(
                    "Connections in use",
                    "percentunit",
                    "Red from 80 %: docs/pgbouncer.md.",
                    [Query(f"max(exchange_connections_used{{{_HERE}}} / exchange_connections_allowed{{{_HERE}}})")],
                    [HERE_LOGS],
                    Limits(warning=0.6, bad=0.8),
                    decimals=0,
                ),
                stat(
                    "Certificate ends in",
                    "s",
                    "Below 30 days: run playbooks/database.yml.",
                    [Query(f"min(exchange_certificate_not_after_timestamp_seconds{{{_HERE}}}) - time()")],
                    [HERE_LOGS],
                    Limits(warning=60 * 86400, bad=30 * 86400, low=True),
                    decimals=0,
                ),
            ],
            "Replication and failovers": [
                graph(
                    "Who leads",
                    "none",
                    "The line at 1 is the primary's; where it jumps to another pod, it failed over.",
                    [Query(f"patroni_primary{{{_HERE}}}", "{{pod}}")],
                    [POD_LOGS, patroni],
                ),
                graph(
                    "Standbys behind, in bytes",
                    "bytes",
                    "One that grows alone: its disk or its network; all: the primary writes much.",
                    [Query(f"exchange_standby_lag_bytes{{{_HERE}}}", "{{member}} {{sync_state}}")],
                    [HERE_LOGS],
                    Limits(bad=256 << 20),
                ),
                graph(
                    "Standbys behind, in time",
                    "s",
                    "From writing to hearing that it was replayed; commits wait for the quorum alone.",
                    [Query(f"exchange_standby_lag_seconds{{{_HERE}}}", "{{member}} {{sync_state}}")],
                    [HERE_LOGS],
                ),
                graph(
                    "WAL on the volume",
                    "bytes",
                    "It grows while archiving fails or a standby is gone: docs/runbooks/full-disk.md.",
                    [Query(f"pg_wal_size_bytes{{{_HERE}}}", "{{pod}}")],
                    [POD_LOGS],
                ),
                graph(
                    "WAL that could not be archived",
                    "none",
                    "Failures in 15 minutes; the log says why.",
                    [Query(f"increase(pg_stat_archiver_failed_count{{{_HERE}}}[15m])", "{{pod}}")],
                    [logs("${namespace}", search="archive", title="Log lines about archiving")],
                    Limits(bad=1),
                ),
                graph(
                    "Since the API server was seen",
                    "s",
                    "Without it members serve, but can't fail over.",
                    [Query(f"time() - patroni_dcs_last_seen{{{_HERE}}}", "{{pod}}")],
                    [POD_LOGS],
                    Limits(bad=60),
                ),
            ],
            "Queries and locks": [
                graph(
                    "Longest statement under way",
                    "s",
                    "Minutes: find it in the log, or in pg_stat_activity on the primary.",
                    [
                        Query(
                            f"max by (namespace, pod, datname) (exchange_statements_longest_seconds{{{_HERE}}})",
                            "{{datname}} {{pod}}",
                        )
                    ],
                    [POD_LOGS, slow],
                    Limits(bad=15),
                ),
                graph(
                    "Sessions that wait for a lock",
                    "none",
                    "More than a few: the longest statement or transaction holds what they want.",
                    [Query(f"exchange_lock_waits_sessions{{{_HERE}}}", "{{pod}}")],
                    [POD_LOGS, slow],
                    Limits(warning=5),
                ),
                graph(
                    "Longest wait for a lock",
                    "s",
                    "The application gives up after 5 s and answers 503.",
                    [Query(f"exchange_lock_waits_longest_seconds{{{_HERE}}}", "{{pod}}")],
                    [POD_LOGS, slow],
                    Limits(bad=5),
                ),
                graph(
                    "Locks by mode",
                    "none",
                    "accessexclusivelock for long: a migration, or a VACUUM FULL, holds everybody up.",
                    [Query(f"sum by (mode) (pg_locks_count{{{_HERE}}}) > 0", "{{mode}}")],
                    [HERE_LOGS],
                ),
                graph(
                    "Transactions",
                    "ops",
                    "Many rollbacks: the application's log says why.",
                    [
                        Query(
                            "sum by (datname) "
                            f"(rate(pg_stat_database_xact_commit{{{_APPLICATIONS}}}[$__rate_interval]))",
                            "{{datname}} commits",
                        ),
                        Query(
                            "sum by (datname) "
                            f"(rate(pg_stat_database_xact_rollback{{{_APPLICATIONS}}}[$__rate_interval]))",
                            "{{datname}} rollbacks",
                        ),
                    ],
                    [HERE_LOGS],
                ),
                graph(
                    "Deadlocks and conflicts",
                    "none",
                    "In 5 minutes. Deadlocks: two statements in the log that lock in opposite order.",
                    [
                        Query(
                            f"sum by (datname) (increase(pg_stat_database_deadlocks{{{_APPLICATIONS}}}[5m]))",
                            "{{datname}} deadlocks",
                        ),
                        Query(
                            f"sum by (datname) (increase(pg_stat_database_conflicts{{{_APPLICATIONS}}}[5m]))",
                            "{{datname}} conflicts",
                        ),
                    ],
                    [logs("${namespace}", search="deadlock|conflict", title="Deadlocks and conflicts, in the log")],
                    Limits(warning=1),
                ),
            ],
            "Connections, size and bloat": [
                graph(
                    "Connections",
                    "none",
                    "Near the line: PgBouncer, or fewer threads; docs/pgbouncer.md.",
                    [
                        Query(f"exchange_connections_used{{{_HERE}}}", "{{pod}}"),
                        Query(f"max(exchange_connections_allowed{{{_HERE}}})", "allowed"),
                    ],
                    [HERE_LOGS],
                ),
                graph(
                    "Size",
                    "bytes",
                    "Steady growth is data; a step without new rows is bloat or a migration.",
                    [Query(f"max by (datname) (pg_database_size_bytes{{{_APPLICATIONS}}})", "{{datname}}")],
                    [HERE_LOGS],
                ),
                graph(
                    "Bytes on disk for each byte of a dump",
                    "none",
                    "Indexes and bloat: while it rises, dead rows pile up; look for long transactions, then "
                    "at autovacuum in the log.",
                    [
                        Query(
                            f"max(pg_database_size_bytes{{{_APPLICATIONS}}}) / "
                            'max(exchange_backup_last_plain_bytes{series="database"})',
                            "ratio",
                        )
                    ],
                    [logs("${namespace}", search="vacuum", title="Log lines about vacuum")],
                ),
                graph(
                    "Oldest transaction number",
                    "none",
                    "At 2 billion PostgreSQL takes no more writes; vacuum brings it down.",
                    [
                        Query(
                            f"max by (datname) (pg_database_wraparound_age_datfrozenxid_seconds{{{_HERE}}})",
                            "{{datname}}",
                        )
                    ],
                    [logs("${namespace}", search="vacuum|wraparound", title="Log lines about vacuum")],
                    Limits(bad=1e9),
                ),
                graph(
                    "Read from memory",
                    "percentunit",
                    "Below 95 % for long: more memory for the members, or a query that reads all.",
                    [
                        Query(
                            "sum by (datname) "
                            f"(rate(pg_stat_database_blks_hit{{{_APPLICATIONS}}}[$__rate_interval])) / "
                            "(sum by (datname) "
                            f"(rate(pg_stat_database_blks_hit{{{_APPLICATIONS}}}[$__rate_interval])) + "
                            "sum by (datname) "
                            f"(rate(pg_stat_database_blks_read{{{_APPLICATIONS}}}[$__rate_interval])))",
                            "{{datname}}",
                        )
                    ],
                    [HERE_LOGS],
                ),
                graph(
                    "Volumes",
                    "percentunit",
                    "Red from 90 %: docs/runbooks/full-disk.md.",
                    [
                        Query(
                            f"1 - kubelet_volume_stats_available_bytes{{{_HERE}}} / "
                            f"kubelet_volume_stats_capacity_bytes{{{_HERE}}}",
                            "{{persistentvolumeclaim}}",
                        )
                    ],
                    [HERE_LOGS],
                    Limits(warning=0.8, bad=0.9),
                ),
            ],
        },
        [of_prometheus("namespace", "Namespace", "pg_up", "Where the database is.")],
    )
