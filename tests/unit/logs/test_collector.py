"""What becomes of lines between a pod's file and Loki: the real programs with the configuration of roles/loki."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from unit.logs.pipeline import NODE, Pipeline, now, program
from unit.templates.render import ROLES, load, render, sets

TRACEBACK = """\
Traceback (most recent call last):
  File "/app/manage.py", line 22, in <module>
    main()
    ~~~~^^
  File "/app/exchange/orders.py", line 7, in place
    raise ValueError("no such market")
ValueError: no such market"""


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    """Return a collector and Loki that run."""
    made = Pipeline(tmp_path_factory.mktemp("logs"))
    yield made
    made.close()


def arrived(pipeline: Pipeline, mark: str, count: int = 1) -> list[str]:
    """Return the lines with a mark, as soon as there are some."""
    query = f'{{namespace="exchange"}} |= "{mark}"'
    return pipeline.eventually(lambda found: len(found) >= count, query)


def test_a_line_carries_where_it_is_from_and_nothing_else_as_labels(pipeline: Pipeline) -> None:
    pipeline.write("labels hello")
    arrived(pipeline, "labels hello")
    names = set(pipeline.api.get("/loki/api/v1/labels", since="1h"))
    assert names == {"namespace", "pod", "container", "node"}
    found = pipeline.labels('{namespace="exchange"} |= "labels hello"')
    found.pop("detected_level", None)
    assert found == {"namespace": "exchange", "pod": "web-1", "container": "web", "node": NODE, "stream": "stdout"}


def test_what_json_names_can_be_asked_for(pipeline: Pipeline) -> None:
    line = {"event": "request", "level": "info", "request_id": "r-1", "user_id": 7, "status": 404, "nested": {"a": 1}}
    pipeline.write(json.dumps(line))
    assert arrived(pipeline, '" | request_id="r-1" |= "r-1') == [json.dumps(line)]
    found = pipeline.labels('{namespace="exchange"} | request_id="r-1"')
    assert (found["user_id"], found["status"], found["level"]) == ("7", "404", "info")
    assert "nested" not in found


def test_what_only_looks_like_json_arrives_as_it_is(pipeline: Pipeline) -> None:
    pipeline.write('{"half": json}')
    assert arrived(pipeline, "half") == ['{"half": json}']


def test_a_traceback_is_one_entry_whatever_comes_between(pipeline: Pipeline) -> None:
    for number, line in enumerate(TRACEBACK.splitlines()):
        pipeline.write(line, stream="stderr")
        pipeline.write(f"between {number}")
    assert arrived(pipeline, "no such market") == [TRACEBACK]
    assert len(arrived(pipeline, "between", 7)) == 7


def test_a_long_line_is_put_together(pipeline: Pipeline) -> None:
    pipeline.write("long" + "x" * 16380, tag="P")
    pipeline.write("y" * 16384, tag="P")
    pipeline.write("end")
    assert arrived(pipeline, "long") == ["long" + "x" * 16380 + "y" * 16384 + "end"]


def test_what_never_ends_arrives_after_a_moment(pipeline: Pipeline) -> None:
    pipeline.write("    indented, and nothing follows")
    assert arrived(pipeline, "indented") == ["    indented, and nothing follows"]


def test_a_line_that_is_far_too_long_is_cut_off_and_says_so(pipeline: Pipeline) -> None:
    pipeline.write("huge" + "x" * 300_000)
    (found,) = arrived(pipeline, "huge")
    assert len(found) <= 256 * 1024
    assert found.startswith("hugexxx")


# One of each row of docs/logs.md, and some that must stay as they are.
MASKED = [
    ("-----BEGIN PRIVATE KEY-----\\nMIIEvQIBADANBg\\n-----END PRIVATE KEY-----", "-----BEGIN PRIVATE KEY-----***"),
    ("-----BEGIN RSA PRIVATE KEY-----\\nMIIEvQIBADANBg", "-----BEGIN RSA PRIVATE KEY-----***"),
    ("postgres://exchange:hunter2@db/exchange", "postgres://exchange:***@db/exchange"),
    ("https://:hunter2@db.example.com/x", "https://:***@db.example.com/x"),
    ("Authorization: Basic dXNlcjpwYXNz", "Authorization: Basic ***"),
    ('{"authorization": "Token 0123456789"}', '{"authorization": "Token ***"}'),
    ("sent bearer 0123456789abcdef to them", "sent bearer *** to them"),
    ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl", "***"),
    ("key AKIAIOSFODNN7EXAMPLE", "key AKIA***"),
    ('{"db_password": "hunter2", "user": "me"}', '{"db_password": "***", "user": "me"}'),
    ("secret_key=abc&user=me", "secret_key=***&user=me"),
    ("access_token: abc", "access_token: ***"),
    ("aws_secret_access_key = wJalrXUtnFEMI/K7MDENG", "aws_secret_access_key = ***"),
    ("https://db.example.com:5432/exchange", "https://db.example.com:5432/exchange"),
    ("the password was changed", "the password was changed"),
    ("user@example.com at 10:30", "user@example.com at 10:30"),
    ("bearer of bad news", "bearer of bad news"),
]


def test_secrets_are_masked_and_nothing_else(pipeline: Pipeline) -> None:
    for number, (text, _) in enumerate(MASKED):
        pipeline.write(f"masked {number:02} {text}")
    found = arrived(pipeline, "masked", len(MASKED))
    assert sorted(found) == [f"masked {number:02} {text}" for number, (_, text) in enumerate(MASKED)]


def test_every_mask_of_the_role_is_among_the_examples() -> None:
    masks = load(ROLES / "loki" / "vars" / "main.yml")["__loki_own_masks"]
    unused = [
        name
        for name, mask in masks.items()
        if not any(re.search(mask["pattern"], text) for text, told in MASKED if text != told)
    ]
    assert unused == []


def test_nothing_is_missing_or_doubled_if_loki_was_away_and_the_collector_killed(pipeline: Pipeline) -> None:
    file, total = pipeline.file("numbers-1"), 3000
    for number in range(total):
        pipeline.write(f"number {number}", file=file)
        time.sleep(0.001)
        if number == 500:
            pipeline.loki.kill()
        if number % 300 == 150:
            pipeline.collector.kill()
            pipeline.collector.start()
        if number == 2000:
            pipeline.loki.start()
    found = pipeline.eventually(lambda lines: len(lines) >= total, '{pod="numbers-1"}')
    counts = Counter(found)
    assert [text for text, count in counts.items() if count > 1] == []
    assert set(counts) == {f"number {number}" for number in range(total)}
    assert pipeline.api.count('{pod="numbers-1"}', time.time() + 60, 3600) == total


def test_what_was_rotated_away_while_nobody_looked_is_read(pipeline: Pipeline) -> None:
    file = pipeline.file("rotated-1")
    pipeline.write("rotated before", file=file)
    arrived(pipeline, "rotated before")
    pipeline.collector.stop()
    pipeline.write("rotated unread", file=file)
    file.rename(file.with_name("0.log.20260102-030405"))
    pipeline.write("rotated after", file=file)
    pipeline.collector.start()
    found = arrived(pipeline, "rotated ", 3)
    assert sorted(found) == ["rotated after", "rotated before", "rotated unread"]


def test_the_figures_that_alerts_ask_for_are_there(pipeline: Pipeline) -> None:
    answer = subprocess.run(
        ["curl", "-sf", f"http://127.0.0.1:{pipeline.figures}/metrics"], capture_output=True, text=True, check=True
    )
    said = {line.split("{")[0].split(" ")[0] for line in answer.stdout.splitlines() if not line.startswith("#")}
    rules = (ROLES / "loki" / "files" / "rules" / "loki.yml").read_text()
    asked = set(re.findall(r"otelcol_\w+", rules))
    # Appears with the first line that it counts.
    assert asked - said <= {"otelcol_exporter_enqueue_failed_log_records", "otelcol_exporter_send_failed_log_records"}


@pytest.mark.parametrize("chosen", sets("loki"))
def test_loki_takes_its_configuration(chosen: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOKI_S3_ACCESS_KEY", "a")
    monkeypatch.setenv("LOKI_S3_SECRET_KEY", "b")
    text = next(
        item["data"]["loki.yml"]
        for item in render("loki", chosen).objects
        if item["kind"] == "ConfigMap" and item["metadata"]["name"] == "loki"
    )
    (tmp_path / "loki.yml").write_text(text)
    done = subprocess.run(
        [program("loki", "loki"), f"-config.file={tmp_path}/loki.yml", "-config.expand-env=true", "-verify-config"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_the_time_is_as_the_runtime_writes_it() -> None:
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z", now())
