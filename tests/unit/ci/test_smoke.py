"""The smoke test, against a server that answers as an application under a rollout does."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from unit.loopback import listening

SCRIPT = Path(__file__).resolve().parents[3] / "ci" / "smoke.sh"
# What a server answers to a path the n-th time that it is asked for anything.
Answers = Callable[[str, int], tuple[int, str]]


@contextmanager
def serving(answers: Answers) -> Iterator[str]:
    """Serve, and yield the address."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            status, text = answers(self.path, len(asked))
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the name in the base class
            del format, args

    with listening(Handler) as address:
        yield address


def smoke(answers: Answers, **variables: str) -> tuple[int, str]:
    """Return the script's exit code and its last line."""
    with serving(answers) as url:
        result = subprocess.run(
            [str(SCRIPT), url, "3f2a9c1"],
            env={**os.environ, "SMOKE_SECONDS": "2", **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=60,
        )
    return result.returncode, result.stdout.strip().splitlines()[-1].replace(url, "URL")


def test_the_new_version_passes() -> None:
    assert smoke(lambda _path, _time: (200, "Version 3f2a9c1"))[0] == 0


def test_the_version_before_may_answer_for_a_while() -> None:
    def answers(_path: str, time: int) -> tuple[int, str]:
        return 200, "old" if time < 6 and time % 2 else "3f2a9c1"

    assert smoke(answers, SMOKE_SECONDS="30")[0] == 0


def test_the_version_before_may_not_answer_for_ever() -> None:
    code, said = smoke(lambda path, _time: (200, "3f2a9c1" if path == "/healthz" else "<p>\nVersion old\n</p>"))
    assert (code, said) == (1, "smoke test: URL/accounts/login/ does not name the version 3f2a9c1")


@pytest.mark.parametrize("broken", ["/accounts/login/", "/healthz"])
def test_a_page_that_fails_is_not_asked_again(broken: str) -> None:
    code, said = smoke(lambda path, _time: (500 if path == broken else 200, "3f2a9c1"))
    assert (code, said) == (1, f"smoke test: URL{broken} gives no good answer")


def test_one_bad_answer_among_good_ones_is_one_too_many() -> None:
    assert smoke(lambda _path, time: (502 if time == 6 else 200, "3f2a9c1"))[0] == 1


def test_pages_are_named_by_variables() -> None:
    def answers(path: str, _time: int) -> tuple[int, str]:
        return (200, "no version") if path == "/shop/" else (404, "")

    assert smoke(answers, SMOKE_PATHS="/shop/", SMOKE_VERSION_PATHS="none")[0] == 0
    assert smoke(answers, SMOKE_PATHS="/shop/")[0] == 1
