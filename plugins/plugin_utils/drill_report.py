"""What drills found, for a person: a table for the terminal and a page with a timeline of each. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

Trial = Mapping[str, Any]

# The plot, in the units of the drawing.
LEFT, WIDTH, LANE, PLOT = 110, 860, 26, 190
# The axis of durations is logarithmic, in seconds.
SHORTEST, LONGEST = 0.005, 10.0
COLOURS = {"primary": "#1f6feb", "replica": "#9ecbff", "": "#d8dee4"}
NAMES = {"primary": "primary", "replica": "standby", "": "no role"}

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1f2328; max-width: 1020px; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2.5rem }
table { border-collapse: collapse; margin: .5rem 0 1rem } th, td { padding: .25rem .8rem .25rem 0; text-align: left }
th { font-weight: 600 } td.number { text-align: right; font-variant-numeric: tabular-nums }
.passed { color: #116329 } .failed { color: #a40e26 } svg { width: 100%; height: auto }
svg text { font: 12px system-ui, sans-serif; fill: #57606a }
pre { font-size: 12px; overflow-x: auto }
.legend span { display: inline-block; margin-right: 1.2rem } .legend i { display: inline-block; width: .8rem;
height: .8rem; margin-right: .35rem; vertical-align: -1px }
"""


def problems(trial: Trial, limits: Mapping[str, float]) -> list[str]:
    """Return what is wrong with a trial, in words; nothing: it passed."""
    if trial.get("problem"):
        return [str(trial["problem"])]
    found = []
    if trial["lost"]:
        found.append(f"{len(trial['lost'])} acknowledged writes were lost, the first of them {trial['lost'][0]}")
    if trial["overlaps"]:
        found.append(f"two primaries acknowledged writes at once, such as {trial['overlaps'][0]}")
    if trial["new_primary"] == trial["primary"]:
        found.append(f"{trial['primary']} is still the primary")
    elif trial["old_primary_back_seconds"] is None:
        found.append(f"{trial['primary']} did not come back as a standby")
    limit = limits.get(trial["fault"])
    if trial["resumed_after_seconds"] is None:
        found.append("writes did not resume")
    elif limit is not None and trial["gap_seconds"] > limit:
        found.append(f"writes paused for {trial['gap_seconds']:.1f} s, longer than {limit:g} s")
    return found


def row(trial: Trial, limits: Mapping[str, float]) -> list[str]:
    """Return a drill as a row of the table."""
    verdict = "FAILED" if problems(trial, limits) else "passed"
    if trial.get("problem"):
        return [trial["fault"], verdict, *["-"] * 6]
    back = trial["old_primary_back_seconds"]
    return [
        trial["fault"],
        verdict,
        f"{trial['gap_seconds']:.1f} s",
        str(trial["acknowledged"]),
        str(len(trial["lost"])),
        f"{trial['failed']} / {trial['failed_after_resume']} / {trial['failed_on_used_port']}",
        f"{_ordinal(trial['primary'])} -> {_ordinal(trial['new_primary'])}",
        "-" if back is None else f"{back:.1f} s",
    ]


# Short, so that a line of the table stays a line.
HEADINGS = ["drill", "", "pause", "acknowledged", "lost", "failed / later / port", "primary", "back"]


def table(trials: Sequence[Trial], limits: Mapping[str, float]) -> list[str]:
    """Return the drills as lines of a table."""
    rows = [HEADINGS, *(row(trial, limits) for trial in trials)]
    widths = [max(len(cells[column]) for cells in rows) for column in range(len(HEADINGS))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip() for cells in rows]
    return lines + [f"{trial['fault']}: {text}" for trial in trials for text in problems(trial, limits)]


def page(trials: Sequence[Trial], limits: Mapping[str, float], title: str, others: Mapping[str, Any]) -> str:
    """Return a page of HTML that needs nothing else.

    Args:
        trials: the drills with a writer.
        limits: the longest pause of each, in seconds.
        title: heading.
        others: what other drills have found, by name: `problems` and `table`.
    """
    top = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title><style>{STYLE}</style>'
        f"<h1>{escape(title)}</h1>"
    )
    sections = "".join(_other(name, found) for name, found in others.items())
    return f"{top}{_trials(trials, limits) if trials else ''}{sections}</html>\n"


def _other(name: str, found: Mapping[str, Any]) -> str:
    """Return the section about a drill without a writer."""
    colour = "failed" if found["problems"] else "passed"
    words = ", ".join(found["problems"]) or "passed"
    lines = escape("\n".join(found["table"]))
    return f'<h2>{escape(name)}: <span class="{colour}">{escape(words)}</span></h2><pre>{lines}</pre>'


def _trials(trials: Sequence[Trial], limits: Mapping[str, float]) -> str:
    """Return what the drills with a writer have shown: a table, and a section for each."""
    heads = "".join(f"<th>{escape(text)}</th>" for text in HEADINGS)
    rows = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row(trial, limits)) + "</tr>" for trial in trials
    )
    return (
        "<p>A writer made a new TLS connection for each row, 20 times a second, while the database was disturbed. "
        "A write counts as lost if it was acknowledged and is not in the table at the end. "
        "<b>pause</b>: the longest time without an acknowledgement. <b>failed / later / port</b>: attempts that "
        "failed, how many of them began after the pause, and how many of those from a port used in vain before, which "
        "the client's node still leads to the old server. <b>primary</b>: which member it was, and which took over. "
        "<b>back</b>: after how long the old primary was a standby.</p>"
        f"<table><tr>{heads}</tr>{rows}</table>"
        f"{''.join(section(trial, limits) for trial in trials)}"
    )


def section(trial: Trial, limits: Mapping[str, float]) -> str:
    """Return what there is to say of one drill."""
    found = problems(trial, limits)
    words, colour = (", ".join(found), "failed") if found else ("passed", "passed")
    parts = [f'<h2>{escape(trial["fault"])}: <span class="{colour}">{escape(words)}</span></h2>']
    if trial.get("problem"):
        return parts[0]
    before, after = trial["latency_ms"]["before"], trial["latency_ms"]["after"]
    facts = {
        "began": trial["started"],
        "a write took before (median, 95 %)": _milliseconds(before),
        "and afterwards": _milliseconds(after),
        "two pods were labelled primary for": f"{trial['two_labels_seconds']:.1f} s",
        "written but not acknowledged": str(trial["kept_unacknowledged"]),
    }
    parts.append(
        "<table>" + "".join(f"<tr><th>{k}</th><td>{escape(v)}</td></tr>" for k, v in facts.items()) + "</table>"
    )
    parts.append(plot(trial))
    legend = {
        **{NAMES[role]: colour for role, colour in COLOURS.items()},
        "write": "#2da44e",
        "failed attempt": "#cf222e",
        "pause": "#fff1c2",
    }
    keys = "".join(f'<span><i style="background:{colour}"></i>{name}</span>' for name, colour in legend.items())
    parts.append(f'<p class="legend">{keys}</p>')
    if trial["errors"]:
        errors = "".join(
            f'<tr><td class="number">{count}</td><td>{escape(text)}</td></tr>'
            for text, count in trial["errors"].items()
        )
        parts.append(f"<table><tr><th>attempts</th><th>failed with</th></tr>{errors}</table>")
    return "".join(parts)


@dataclass(frozen=True)
class Scale:
    """Where a moment (seconds since the fault) and a duration (seconds) are in the drawing."""

    first: float
    last: float
    top: float

    def x(self, seconds: float) -> float:
        """Return the place of a moment."""
        return LEFT + WIDTH * (min(max(seconds, self.first), self.last) - self.first) / (self.last - self.first)

    def y(self, seconds: float) -> float:
        """Return the height of a duration."""
        within = min(max(seconds, SHORTEST), LONGEST)
        return self.top + PLOT * (1 - math.log(within / SHORTEST) / math.log(LONGEST / SHORTEST))


def plot(trial: Trial) -> str:
    """Return the timeline as SVG: a lane for each pod with its role, and below it each attempt to write."""
    pods = sorted({pod for _, _, roles in trial["roles"] for pod in roles})
    begins = [began for began, _, _ in trial["writes"]]
    ends = [began + took for began, took, _ in trial["writes"]] + [until for _, until, _ in trial["roles"]]
    scale = Scale(min([*begins, -1.0]), max([*ends, 1.0]), LANE * len(pods) + 12)
    bottom = scale.top + PLOT
    resumed, pause = trial["resumed_after_seconds"], ""
    if resumed is not None:
        left, right = scale.x(resumed - trial["gap_seconds"]), scale.x(resumed)
        pause = f'<rect x="{left:.1f}" y="0" width="{right - left:.1f}" height="{bottom}" fill="#fff1c2"/>'
    begun = f'x1="{scale.x(0):.1f}" x2="{scale.x(0):.1f}" y1="0" y2="{bottom}"'
    return "".join(
        [
            (
                f'<svg viewBox="0 0 {LEFT + WIDTH + 30} {bottom + 40}" role="img" '
                f'aria-label="Roles of the pods and writes over time, {escape(trial["fault"])}">'
            ),
            pause,
            *(line for number, pod in enumerate(pods) for line in lane(trial, pod, number * LANE, scale)),
            *axes(scale),
            *(mark(began, took, error, scale) for began, took, error in trial["writes"]),
            f'<line {begun} stroke="#1f2328" stroke-dasharray="3 3"/></svg>',
        ]
    )


def lane(trial: Trial, pod: str, top: float, scale: Scale) -> list[str]:
    """Return a pod's name and its roles over time."""
    parts = [f'<text x="0" y="{top + 16}">{escape(pod)}</text>']
    for start, until, roles in trial["roles"]:
        if pod in roles:
            role, left = roles[pod], scale.x(start)
            parts.append(
                f'<rect x="{left:.1f}" y="{top + 4}" width="{max(0.5, scale.x(until) - left):.1f}" '
                f'height="{LANE - 10}" fill="{COLOURS.get(role, COLOURS[""])}"><title>{escape(pod)}: '
                f"{escape(NAMES.get(role, role))}, {start:.1f} s to {until:.1f} s</title></rect>"
            )
    return parts


def axes(scale: Scale) -> list[str]:
    """Return the lines of the durations and the marks of the moments."""
    bottom = scale.top + PLOT
    durations = [("10 ms", scale.y(0.01)), ("100 ms", scale.y(0.1)), ("1 s", scale.y(1)), ("10 s", scale.y(10))]
    moments = [(second, scale.x(second)) for second in range(math.ceil(scale.first / 5) * 5, int(scale.last) + 1, 5)]
    return [
        f'<text x="0" y="{scale.top + PLOT / 2:.0f}">a write took</text>',
        f'<text x="{LEFT + WIDTH}" y="{bottom + 36}" text-anchor="end">seconds since the fault</text>',
        *(f'<line x1="{LEFT}" x2="{LEFT + WIDTH}" y1="{y:.1f}" y2="{y:.1f}" stroke="#eaeef2"/>' for _, y in durations),
        *(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{words}</text>' for words, y in durations),
        *(f'<text x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">{second}</text>' for second, x in moments),
        *(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{bottom}" y2="{bottom + 4}" stroke="#57606a"/>' for _, x in moments),
    ]


def mark(began: float, took: float, error: str, scale: Scale) -> str:
    """Return an attempt to write: a dot, or a cross if it failed."""
    x, y = scale.x(began), scale.y(took)
    if not error:
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="1.6" fill="#2da44e"/>'
    cross = f'<path d="M-3-3L3 3M-3 3L3-3" stroke="#cf222e" transform="translate({x:.1f} {y:.1f})">'
    return f"{cross}<title>{escape(error)}</title></path>"


def _ordinal(member: str) -> str:
    return member.rpartition("-")[2]


def _milliseconds(latency: Mapping[str, float]) -> str:
    return f"{latency['median']:.0f} ms, {latency['p95']:.0f} ms" if latency else "-"
