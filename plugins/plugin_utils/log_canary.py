"""Lines that a pod writes, and what becomes of them: a canary's Job, Loki's answers, and what was missing."""

from __future__ import annotations

import contextlib
import json
import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import urlencode

from kubernetes.client import ApiClient, ApiException, BatchV1Api, CoreV1Api
from kubernetes.stream import portforward, stream
from urllib3.exceptions import HTTPError

NAME = "log-canary"
LABELS = {"app.kubernetes.io/name": NAME, "app.kubernetes.io/part-of": "cryptoexchange"}
PORT = 3100
# The most lines that Loki returns at once.
PAGE = 5000
POLL_SECONDS = 0.5
TIMEOUT = (3, 30)
UNREACHABLE = (ApiException, HTTPError, HTTPException, OSError, ValueError)
NANOSECONDS = 10**9

# What Loki returned: the time that it has for a line in nanoseconds, and the line.
Line = tuple[int, str]


class CanaryError(Exception):
    """It could not be found out; the message says why."""


def manifest(run: str, image: str, command: Sequence[str], pull_secret: str = "") -> dict[str, Any]:
    """Return the Job of a writer.

    Args:
        run: a word that no other run has.
        image: its image.
        command: words of its command.
        pull_secret: name of an image pull Secret; empty: none.
    """
    container = {
        "name": "canary",
        "image": image,
        "command": list(command),
        "resources": {"requests": {"cpu": "50m", "memory": "32Mi"}, "limits": {"memory": "64Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    pod = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 65534,
            "runAsGroup": 65534,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        **({"imagePullSecrets": [{"name": pull_secret}]} if pull_secret else {}),
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": f"{NAME}-{run}", "labels": LABELS},
        "spec": {
            "backoffLimit": 0,
            # If whoever began this doesn't come to its end. Its lines are gone from the node with it.
            "ttlSecondsAfterFinished": 3600,
            "template": {"metadata": {"labels": LABELS}, "spec": pod},
        },
    }


def written(line: str, run: str) -> tuple[int, float] | None:
    """Return a canary line's number and when it was written, in seconds since 1970; nothing if it is another line."""
    words = line.split()
    if len(words) < 4 or words[:2] != ["canary", run]:  # noqa: PLR2004  # canary RUN NUMBER TIME
        return None
    return int(words[2]), float(words[3])


@dataclass
class Tally:
    """Which lines could be read, and how long after they were written."""

    run: str
    lines: int
    # Number -> seconds from its writing until it was seen.
    arrivals: dict[int, float] = field(default_factory=dict)
    # Number -> when it was written.
    times: dict[int, float] = field(default_factory=dict)

    def add(self, found: Iterable[Line], now: float) -> None:
        """Note lines that have been read at a moment (seconds since 1970, by the writer's clock)."""
        for _, text in found:
            told = written(text, self.run)
            if told is not None and told[0] not in self.arrivals:
                self.arrivals[told[0]] = now - told[1]
                self.times[told[0]] = told[1]

    @property
    def whole(self) -> bool:
        """Say whether every line has been seen."""
        return len(self.arrivals) == self.lines

    def complete_until(self) -> float | None:
        """Return when the last line was written before which none is missing; nothing if the first is."""
        number = 1
        while number in self.times:
            number += 1
        return self.times.get(number - 1)


def quantile(values: Sequence[float], share: float) -> float:
    """Return the nearest-rank quantile of some numbers: of 100 the 99th for a share of 0.99."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def result(tally: Tally, stored: Counter[int], counted: int) -> dict[str, Any]:
    """Return what is known in the end.

    Args:
        tally: what was seen while it was written.
        stored: how often each number is in Loki.
        counted: how many lines Loki counts itself.
    """
    wanted = range(1, tally.lines + 1)
    missing = [number for number in wanted if not stored[number]]
    doubled = [number for number in wanted if stored[number] > 1]
    late = list(tally.arrivals.values())
    return {
        "run": tally.run,
        "written": tally.lines,
        "missing": len(missing),
        "doubled": len(doubled),
        "counted_by_loki": counted,
        "first_missing": missing[:5],
        "first_doubled": doubled[:5],
        "arrival_seconds": {
            name: round(quantile(late, share), 3)
            for name, share in (("median", 0.5), ("p95", 0.95), ("p99", 0.99), ("longest", 1.0))
            if late
        },
    }


def problems(record: Mapping[str, Any], longest_p99_seconds: float) -> list[str]:
    """Return what is wrong with a record, in words; nothing: it passed."""
    if record.get("problem"):
        return [str(record["problem"])]
    found = [
        f"{record[kind]} of {record['written']} lines are {kind}, such as {record[f'first_{kind}'][0]}"
        for kind in ("missing", "doubled")
        if record[kind]
    ]
    if record["counted_by_loki"] != record["written"]:
        found.append(f"Loki counts {record['counted_by_loki']} lines of {record['written']}")
    p99 = record["arrival_seconds"].get("p99", math.inf)
    if p99 > longest_p99_seconds:
        found.append(f"99 % could be read only after {p99:.1f} s, more than {longest_p99_seconds:g} s")
    return found


def report(record: Mapping[str, Any], longest_p99_seconds: float) -> dict[str, Any]:
    """Return a record for a person: `table` (lines) and `problems`."""
    found = problems(record, longest_p99_seconds)
    if record.get("problem"):
        return {"table": [], "problems": found}
    arrival = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in record["arrival_seconds"].items())
    return {
        "table": [
            f"lines written    {record['written']}",
            f"missing          {record['missing']}",
            f"doubled          {record['doubled']}",
            f"could be read    after {arrival}",
        ],
        "problems": found,
    }


class Loki:
    """Loki's API, through the API server: nothing has to be opened for it."""

    def __init__(self, client: ApiClient, namespace: str, pod: str = "loki-0") -> None:
        """Remember where. Port forwarding changes its client, so it has one of its own."""
        own = ApiClient(configuration=client.configuration)
        own.default_headers.update(client.default_headers)
        self.core, self.namespace, self.pod = CoreV1Api(own), namespace, pod

    def get(self, path: str, **parameters: Any) -> Any:
        """Return the data of an answer.

        Raises:
            ValueError: Loki answered something else.
            OSError, ApiException: it didn't answer.
        """
        function = self.core.connect_get_namespaced_pod_portforward
        forwarded = portforward(function, self.pod, self.namespace, ports=str(PORT))
        try:
            connection = HTTPConnection("localhost", PORT)
            connection.sock = forwarded.socket(PORT)
            connection.sock.settimeout(TIMEOUT[1])
            return self.answered(connection, path, parameters)
        finally:
            forwarded.close()

    @staticmethod
    def answered(connection: HTTPConnection, path: str, parameters: Mapping[str, Any]) -> Any:
        """Ask on a connection, and return the data of the answer."""
        connection.request("GET", f"{path}?{urlencode(parameters)}", headers={"Connection": "close"})
        answer = connection.getresponse()
        text = answer.read().decode(errors="replace")
        if answer.status != 200:  # noqa: PLR2004
            raise ValueError(f"Loki answered {answer.status}: {text[:200]}")
        return json.loads(text)["data"]

    def lines(self, query: str, start: float, end: float) -> list[Line]:
        """Return all lines between two moments, in order of time, page by page."""
        found: list[Line] = []
        begin, until = int(start * NANOSECONDS), int(end * NANOSECONDS)
        while True:
            data = self.get(
                "/loki/api/v1/query_range", query=query, start=begin, end=until, limit=PAGE, direction="forward"
            )
            page = sorted((int(at), text) for one in data["result"] for at, text in one["values"])
            # The next page begins with the last moment of this one: of that moment there may be more.
            fresh = [line for line in page if not found or line[0] > found[-1][0] or line not in found[-PAGE:]]
            found += fresh
            if len(page) < PAGE or not fresh:
                return found
            begin = page[-1][0]

    def count(self, query: str, at: float, seconds: float) -> int:
        """Return how many lines Loki counts in the time before a moment."""
        counting = f"sum(count_over_time({query} [{math.ceil(seconds)}s]))"
        data = self.get("/loki/api/v1/query", query=counting, time=int(at * NANOSECONDS))
        return int(data["result"][0]["value"][1]) if data["result"] else 0


class Canary:
    """A run: its Job, and what of its lines can be read."""

    def __init__(self, client: ApiClient, namespace: str, loki: Loki) -> None:
        """Remember where it writes and where it is read."""
        self.batch, self.core = BatchV1Api(client), CoreV1Api(client)
        self.client, self.namespace, self.loki = client, namespace, loki

    def run(  # noqa: PLR0913  # each is one property of the run
        self,
        image: str,
        program: str,
        lines: int,
        rate: float,
        *,
        patience: float = 120,
        pull_secret: str = "",
        say: Callable[[str], None] = lambda _: None,
    ) -> dict[str, Any]:
        """Write lines, read them, and return a record of what was missing, doubled and late.

        Args:
            image: an image with python3.
            program: text of the writer.
            lines: how many it writes.
            rate: how many a second.
            patience: for how long after the last line is waited for the rest, in seconds.
            pull_secret: name of an image pull Secret; empty: none.
            say: takes a line now and then.

        Raises:
            CanaryError: it could not be found out.
        """
        run = format(time.time_ns() // 10**6, "x")
        job: Any = manifest(run, image, ["python3", "-c", program, run, str(lines), str(rate)], pull_secret)
        begun = time.time()
        self.batch.create_namespaced_job(self.namespace, job, _request_timeout=TIMEOUT)
        try:
            tally = Tally(run, lines)
            self._watch(tally, begun, lines / rate + patience, say)
            return self._judge(tally, begun)
        finally:
            self.batch.delete_namespaced_job(
                f"{NAME}-{run}", self.namespace, propagation_policy="Background", _request_timeout=TIMEOUT
            )

    def _clock_ahead(self, run: str) -> float:
        """Return by how many seconds the writer's clock is ahead of ours."""
        selector = f"batch.kubernetes.io/job-name={NAME}-{run}"
        answer: Any = self.core.list_namespaced_pod(self.namespace, label_selector=selector, _preload_content=False)
        (pod,) = json.loads(answer.data)["items"]
        own = ApiClient(configuration=self.client.configuration)
        own.default_headers.update(self.client.default_headers)
        before = time.time()
        text = stream(
            CoreV1Api(own).connect_get_namespaced_pod_exec,
            pod["metadata"]["name"],
            self.namespace,
            command=["date", "+%s.%N"],
            stdout=True,
            stderr=True,
            _request_timeout=TIMEOUT[1],
        )
        return float(text.strip()) - (before + time.time()) / 2

    def query(self, run: str) -> str:
        """Return what selects a run's lines."""
        return f'{{namespace="{self.namespace}", app="{NAME}"}} |= "canary {run} "'

    def _watch(self, tally: Tally, begun: float, seconds: float, say: Callable[[str], None]) -> None:
        """Look again and again, until every line is there or the time is up."""
        deadline, told = begun + seconds + 60, begun
        ahead: float | None = None
        while not tally.whole and time.time() < deadline:
            time.sleep(POLL_SECONDS)
            if ahead is None:
                with contextlib.suppress(*UNREACHABLE):
                    ahead = self._clock_ahead(tally.run)
                continue
            since = tally.complete_until() or begun - 60
            with contextlib.suppress(*UNREACHABLE):
                found = self.loki.lines(self.query(tally.run), since, time.time() + 60)
                tally.add(found, time.time() + ahead)
            if time.time() - told > 10:  # noqa: PLR2004  # seconds between two words to whoever waits
                told = time.time()
                say(f"    {len(tally.arrivals)} of {tally.lines} lines have arrived")
            self._failed(tally.run)

    def _failed(self, run: str) -> None:
        """Raise an error if the writer doesn't write."""
        with contextlib.suppress(*UNREACHABLE):
            answer: Any = self.batch.read_namespaced_job(f"{NAME}-{run}", self.namespace, _preload_content=False)
            status = json.loads(answer.data).get("status") or {}
            if status.get("failed"):
                raise CanaryError(f"the writer failed: kubectl -n {self.namespace} describe job {NAME}-{run}")

    def _judge(self, tally: Tally, begun: float) -> dict[str, Any]:
        """Read everything once more, and let Loki count."""
        now = time.time()
        try:
            stored = Counter(
                told[0]
                for _, text in self.loki.lines(self.query(tally.run), begun - 60, now + 60)
                if (told := written(text, tally.run))
            )
            counted = self.loki.count(self.query(tally.run), now + 60, now - begun + 120)
        except UNREACHABLE as error:
            raise CanaryError(f"Loki can't be asked: {error}") from error
        return {**result(tally, stored, counted), "seconds": round(now - begun, 1)}
