"""The log drill: which lines were missing, doubled and late, and how Loki's pages are put together."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils import log_canary
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.log_canary import Line, Loki, Tally

WRITER = Path(__file__).resolve().parents[4] / "roles" / "verify" / "files" / "canary.py"


def line(number: int, at: float, run: str = "r") -> Line:
    return int(at * 10**9), f"canary {run} {number} {at:.6f} ...."


def test_the_writer_writes_what_is_read(capfd: pytest.CaptureFixture[str]) -> None:
    begun = time.time()
    subprocess.run([sys.executable, WRITER, "r", "50", "500"], check=True)
    told = [log_canary.written(text, "r") for text in capfd.readouterr().out.splitlines()]
    assert [one[0] for one in told if one] == list(range(1, 51))
    times = [one[1] for one in told if one]
    assert begun <= times[0] < times[-1] < time.time()
    assert times[-1] - times[0] > 0.09  # 49 of 500 a second


@pytest.mark.parametrize("text", ["canary other 1 2.0 .", "something else", "canary r 1", ""])
def test_other_lines_are_left_out(text: str) -> None:
    assert log_canary.written(text, "r") is None


def test_a_line_counts_when_it_is_first_seen() -> None:
    tally = Tally("r", 3)
    tally.add([line(1, 100.0), line(3, 100.5)], 101.0)
    tally.add([line(1, 100.0), line(2, 100.2)], 103.0)
    assert tally.arrivals == {1: 1.0, 2: pytest.approx(2.8), 3: 0.5}
    assert tally.whole


def test_what_is_asked_for_next_begins_before_the_first_gap() -> None:
    tally = Tally("r", 9)
    assert tally.complete_until() is None
    tally.add([line(2, 100.2)], 101)
    assert tally.complete_until() is None
    tally.add([line(1, 100.1), line(4, 100.4)], 101)
    assert tally.complete_until() == 100.2


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [([1.0], 0.99, 1.0), (list(range(1, 101)), 0.99, 99), (list(range(1, 101)), 0.5, 50), ([3, 1, 2], 1.0, 3)],
)
def test_quantiles_are_by_nearest_rank(values: list[float], share: float, expected: float) -> None:
    assert log_canary.quantile(values, share) == expected


def record(stored: dict[int, int], counted: int, late: float = 1.0) -> dict[str, Any]:
    tally = Tally("r", 3)
    tally.add([line(number, 100.0) for number in stored], 100.0 + late)
    return log_canary.result(tally, Counter(stored), counted)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (record({1: 1, 2: 1, 3: 1}, 3), []),
        (record({1: 1, 3: 1}, 3), ["1 of 3 lines are missing, such as 2"]),
        (record({1: 1, 2: 2, 3: 1}, 3), ["1 of 3 lines are doubled, such as 2"]),
        (record({1: 1, 2: 1, 3: 1}, 4), ["Loki counts 4 lines of 3"]),
        (record({1: 1, 2: 1, 3: 1}, 3, late=6.0), ["99 % could be read only after 6.0 s, more than 5 s"]),
        ({"problem": "the writer failed"}, ["the writer failed"]),
    ],
)
def test_what_is_wrong_is_told(found: dict[str, Any], expected: list[str]) -> None:
    assert log_canary.problems(found, 5) == expected
    assert log_canary.report(found, 5)["problems"] == expected


def test_nothing_at_all_has_not_passed() -> None:
    found = log_canary.problems(record({}, 0), 5)
    assert found[0] == "3 of 3 lines are missing, such as 1"
    assert found[-1] == "99 % could be read only after inf s, more than 5 s"


def test_the_report_has_the_figures() -> None:
    report = log_canary.report(record({1: 1, 2: 1, 3: 1}, 3), 5)
    assert report["table"][0] == "lines written    3"
    assert "p99 1.00 s" in report["table"][-1]


class Pages(Loki):
    """Answers from a list, as Loki does: from a moment on, at most so many lines."""

    def __init__(self, lines: list[Line]) -> None:
        """Remember them."""
        self.stored = lines

    def get(self, path: str, **parameters: Any) -> Any:
        """Return a page."""
        assert path == "/loki/api/v1/query_range"
        page = [one for one in self.stored if parameters["start"] <= one[0] < parameters["end"]][: parameters["limit"]]
        # Two streams, whose lines take turns.
        return {"result": [{"values": [(str(at), text) for at, text in page[half::2]]} for half in (0, 1)]}


@pytest.mark.parametrize("count", [0, 1, 6, 7, 13, 20, 21, 40])
def test_pages_are_put_together(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_canary, "PAGE", 7)
    # Two of each moment, so that a page ends between them.
    stored = [(1000 + number // 2, f"line {number}") for number in range(count)]
    assert Pages(stored).lines("{}", 0, 1) == sorted(stored)


def test_doubled_lines_are_not_hidden() -> None:
    stored = [(1000, "line 1"), (1000, "line 1"), (1001, "line 2")]
    assert Pages(stored).lines("{}", 0, 1) == stored


def test_the_job_is_allowed_in_a_restricted_namespace_and_reads_its_program() -> None:
    job = log_canary.manifest("r", "example.com/image:1", ["python3", "-c", "print()"], "mirror")
    spec = job["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    assert container["command"] == ["python3", "-c", "print()"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert spec["imagePullSecrets"] == [{"name": "mirror"}]
    assert "imagePullSecrets" not in log_canary.manifest("r", "i", [])["spec"]["template"]["spec"]
