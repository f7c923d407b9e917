"""Log lines: by place, level, request and text."""

from __future__ import annotations

from typing import Any

from dashboards.board import board, chosen, of_loki, typed
from dashboards.links import EVERY, OF_SERIES, to
from dashboards.links import logs as log_lines
from dashboards.panels import LOKI, Query, graph, lines

_LEVELS = ("critical", "fatal", "error", "warn", "info", "debug", "trace", "unknown")
_PLACE = '{namespace=~"$namespace", pod=~"$pod"}'
# What is searched for stands between backticks: between quotes, one of its own, or a backslash, would spoil the query.
# Loki finds the level itself; the request's id is structured metadata: a line without one passes an empty choice.
_CHOSEN = '| detected_level=~"$level" | request_id=~"${request_id}.*" |~ `(?i)${search}`'


def logs() -> dict[str, Any]:
    """Return the dashboard. Every other one leads here, with its place and time range."""
    everything = log_lines(EVERY, title="Everything of this time")
    of_pod = to("pod", "Figures of the pod", {"namespace": OF_SERIES["namespace"], "pod": OF_SERIES["pod"]})
    this_pod = log_lines(OF_SERIES["namespace"], OF_SERIES["pod"], title="Lines of this pod alone")
    return board(
        "logs",
        "Logs",
        "Open a line: its request_id leads to all lines of the request, its pod to the pod's figures.",
        {
            "How much": [
                graph(
                    "Lines by level",
                    "cps",
                    "A step in errors: choose the level above, and read on below.",
                    [Query(f"sum by (detected_level) (rate({_PLACE} {_CHOSEN} [$__auto]))", "{{detected_level}}")],
                    [everything],
                    width=12,
                    source=LOKI,
                ),
                graph(
                    "Lines by pod",
                    "cps",
                    "One that talks far more than the others: click for its lines, or its figures.",
                    [
                        Query(
                            f"topk(10, sum by (namespace, pod) (rate({_PLACE} {_CHOSEN} [$__auto])))",
                            "{{namespace}}/{{pod}}",
                        )
                    ],
                    [this_pod, of_pod],
                    width=12,
                    source=LOKI,
                ),
            ],
            "Lines": [
                lines(
                    "Lines",
                    "Open one: request_id leads to the request's other lines, pod to its figures.",
                    f"{_PLACE} {_CHOSEN}",
                    [everything],
                ),
            ],
            "Requests that failed": [
                lines(
                    "Requests that failed",
                    "Answers 5xx of the application; open one and follow its request_id.",
                    f'{_PLACE} |= "gunicorn.access" | request_id=~"${{request_id}}.*" | json status="status" '
                    "| status >= 500",
                    [everything],
                    height=10,
                ),
            ],
        },
        [
            of_loki("namespace", "Namespace", "", "Where.", ".+"),
            of_loki("pod", "Pod", '{namespace=~"$namespace"}', "Which pods.", ".*"),
            chosen("level", "Level", _LEVELS, "How bad."),
            typed("request_id", "Request", "The id that a client got in X-Request-ID."),
            typed("search", "Text", "A regular expression, in any case of letters."),
        ],
    )
