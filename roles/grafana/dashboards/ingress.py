"""The way in: probes from outside of the application, certificates, and what the controller says."""

from __future__ import annotations

from typing import Any

from dashboards.board import board
from dashboards.links import EVERY, NAMESPACE_LOGS, POD, POD_LOGS, logs
from dashboards.panels import Limits, Query, graph, stat


def ingress() -> dict[str, Any]:
    """Return the dashboard. F5's controller and the community's have names of their own; each graph asks for both."""
    everywhere = logs(EVERY)
    rejected = logs(EVERY, search="rejected|\\[emerg\\]|reload", title="What the controller rejected, in the log")
    return board(
        "ingress",
        "Ingress",
        "Probes go the way of the users. The controller's own figures are F5's (nginx_ingress_*) or the community's.",
        {
            "As users meet it": [
                stat(
                    "Probes that succeed",
                    "percentunit",
                    "Below 100 %: the probe's target below says which address.",
                    [Query("avg(probe_success)")],
                    [everywhere],
                    Limits(warning=1, bad=0.99, low=True),
                    width=6,
                    nothing="no probes",
                ),
                stat(
                    "First certificate ends in",
                    "s",
                    "Below 30 days: run playbooks/site.yml, or see to cert-manager.",
                    [Query("min(probe_ssl_earliest_cert_expiry) - time()")],
                    [everywhere],
                    Limits(warning=60 * 86400, bad=30 * 86400, low=True),
                    width=6,
                    decimals=0,
                    nothing="no probes",
                ),
                stat(
                    "Last configuration taken",
                    "none",
                    "0: the controller goes on with the one before; its log says what it rejects.",
                    [
                        Query(
                            "min(nginx_ingress_controller_nginx_last_reload_status or "
                            "nginx_ingress_controller_config_last_reload_successful)"
                        )
                    ],
                    [rejected],
                    Limits(bad=1, low=True),
                    width=6,
                    nothing="no controller of ours",
                ),
                stat(
                    "Open connections",
                    "none",
                    "A plateau is a limit: of the load balancer, or of worker_connections.",
                    [
                        Query(
                            "sum(nginx_ingress_nginx_connections_active or "
                            'nginx_ingress_controller_nginx_process_connections{state="active"})'
                        )
                    ],
                    [everywhere],
                    width=6,
                    nothing="no controller of ours",
                ),
            ],
            "Probes": [
                graph(
                    "Probes by address",
                    "none",
                    "0: from inside of the cluster this address fails through the ingress.",
                    [Query("probe_success", "{{instance}}")],
                    [everywhere],
                ),
                graph(
                    "How long probes take",
                    "s",
                    "All slow: the ingress or the name service; one: what it leads to.",
                    [Query("probe_duration_seconds", "{{instance}}")],
                    [everywhere],
                ),
                graph(
                    "Answers to probes",
                    "none",
                    "The status: 502 to 504 are the ingress' own, others the application's.",
                    [Query("probe_http_status_code", "{{instance}}")],
                    [everywhere],
                ),
            ],
            "The controller": [
                graph(
                    "Requests",
                    "reqps",
                    "More than the application counts: something is refused or answered at the ingress.",
                    [
                        Query(
                            "sum by (namespace, pod) (rate(nginx_ingress_nginx_http_requests_total[$__rate_interval]))",
                            "{{pod}}",
                        ),
                        Query(
                            "sum by (namespace, pod) (rate(nginx_ingress_controller_requests[$__rate_interval]))",
                            "{{pod}}",
                        ),
                    ],
                    [POD_LOGS, POD],
                ),
                graph(
                    "Reloads, and those that failed",
                    "none",
                    "In 10 minutes. Many: endpoints or Ingresses change all the time.",
                    [
                        Query(
                            "sum by (namespace, pod) (increase(nginx_ingress_controller_nginx_reloads_total[10m]))",
                            "{{pod}} reloads",
                        ),
                        Query(
                            "sum by (namespace, pod) "
                            "(increase(nginx_ingress_controller_nginx_reload_errors_total[10m]))",
                            "{{pod}} failed",
                        ),
                        Query(
                            "sum by (namespace, pod) (increase(nginx_ingress_controller_errors[10m]))", "{{pod}} failed"
                        ),
                    ],
                    [POD_LOGS, rejected],
                ),
                graph(
                    "Connections",
                    "none",
                    "By state; waiting ones are idle clients, and cost little.",
                    [
                        Query("sum by (namespace) (nginx_ingress_nginx_connections_active)", "active"),
                        Query("sum by (namespace) (nginx_ingress_nginx_connections_waiting)", "waiting"),
                        Query(
                            "sum by (namespace, state) (nginx_ingress_controller_nginx_process_connections)",
                            "{{state}}",
                        ),
                    ],
                    [NAMESPACE_LOGS],
                ),
            ],
        },
    )
