"""Commands: their output, and failures that say what went wrong."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

import pytest
from cluster.shell import Failure, fail, run, step


def test_the_output_comes_back_without_errors_mixed_in() -> None:
    assert run(["sh", "-c", "echo out; echo err >&2"]) == "out\n"


def test_text_environment_and_folder_are_handed_over(tmp_path: Path) -> None:
    assert run(["cat"], text_in="ä\n") == "ä\n"
    script = 'echo "$A $HOME"; pwd'
    assert run(["sh", "-c", script], env={"A": "1"}, cwd=tmp_path) == f"1 {os.environ.get('HOME', '')}\n{tmp_path}\n"


def test_a_failure_carries_the_command_its_code_and_its_last_words() -> None:
    with pytest.raises(Failure) as caught:
        run(["sh", "-c", "seq 40; echo the reason >&2; exit 3"])
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("sh -c ")
    assert lines[0].endswith("ended with 3:")
    assert lines[-1] == "the reason"
    assert len(lines) == 1 + 25


def test_a_failure_can_be_left_to_the_caller() -> None:
    assert run(["sh", "-c", "echo out; exit 1"], check=False) == "out\n"


@pytest.mark.parametrize("check", [True, False])
def test_a_command_that_is_not_there_is_named(*, check: bool) -> None:
    with pytest.raises(Failure, match="no-such-command can't be started"):
        run(["no-such-command"], check=check)


def test_output_that_is_not_text_does_not_break_anything() -> None:
    assert run([sys.executable, "-c", "import sys; sys.stdout.buffer.write(b'a\\xff')"]) == "a\N{REPLACEMENT CHARACTER}"


def test_a_step_says_what_it_does_and_how_long_it_took(capsys: pytest.CaptureFixture[str]) -> None:
    with step("Build", 120):
        pass
    assert capsys.readouterr().out == "==> Build (usually 2 min)\n    Build: done in 0 s\n"


def test_a_step_that_fails_is_not_called_done_and_leaves_no_thread(capsys: pytest.CaptureFixture[str]) -> None:
    before = threading.active_count()
    with pytest.raises(Failure, match="no"), step("Build"):
        raise Failure("no")
    assert capsys.readouterr().out == "==> Build\n"
    assert threading.active_count() == before


def test_a_failure_for_a_person_goes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    assert fail("what to do") == 1
    assert capsys.readouterr().err == "\nERROR: what to do\n"
