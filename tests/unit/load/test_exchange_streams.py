"""The steady load as the exchange gets it."""

from __future__ import annotations

from pathlib import Path

import pytest
from cluster.shell import Failure
from load.exchange import SHARES, plain_streams, steady, stream_names, streams


def test_the_plain_requests_come_at_the_rate_that_is_asked_for() -> None:
    assert sum(SHARES.values()) == pytest.approx(1)
    assert sum(one.per_second for one in plain_streams(120)) == pytest.approx(120)


def test_there_is_each_method_on_each_kind_of_connection() -> None:
    kinds = {(one.method, one.keep_alive) for one in plain_streams(1)}
    assert kinds == {("GET", True), ("GET", False), ("POST", True), ("POST", False)}
    assert len({one.name for one in streams(1, "cookie=x")}) == len(streams(1, "cookie=x"))


def test_what_a_page_links_to_has_a_name_in_the_record_as_well() -> None:
    names = stream_names(streams(1, "cookie=x"))
    assert {"GET, kept-alive", "page", "page, linked", "page of a session"} < set(names)
    assert [name for name in names if name.endswith(", linked")] == ["page, linked"]


def test_a_load_that_can_t_begin_is_noticed_before_anything_is_done(tmp_path: Path) -> None:
    record = tmp_path / "record.csv"
    done: list[str] = []
    with (
        pytest.raises(Failure, match="ended at once with 1"),
        steady(record, plain_streams(1), "https://a.invalid", address="127.0.0.1", ca_file=tmp_path / "none"),
    ):
        done.append("something")
    assert done == []
    assert not record.with_suffix(".streams.json").exists()
