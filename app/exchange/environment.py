"""Reads settings from environment variables, and reports every wrong one at once."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

TRUE = frozenset({"1", "true", "yes", "on"})
FALSE = frozenset({"0", "false", "no", "off"})


class EnvironmentErrors(Exception):  # noqa: N818 - it is about several
    """One or more environment variables are missing or malformed; the message names each."""

    def __init__(self, problems: Sequence[str]) -> None:
        """Join the problems to one message, one a line."""
        self.problems = tuple(problems)
        lines = "\n".join(f"  - {problem}" for problem in problems)
        super().__init__(f"{len(problems)} environment variable(s) to correct:\n{lines}")


class Environment:
    """Typed look-ups that collect problems instead of stopping at the first.

    Every look-up of NAME also accepts NAME_FILE, the path of a file that holds the value (a mounted Secret), and
    removes the file's last newline. An empty variable counts as unset. The value of a secret never gets into a
    message.
    """

    def __init__(self, variables: Mapping[str, str]) -> None:
        """Keep the variables to look up."""
        self._variables = variables
        self._problems: list[str] = []

    def _raw(self, name: str) -> str | None:
        value, path = self._variables.get(name, ""), self._variables.get(f"{name}_FILE", "")
        if value and path:
            self._problems.append(f"{name} and {name}_FILE are both set; set one of them")
            return None
        if not path:
            return value or None
        try:
            return Path(path).read_text(encoding="utf-8").removesuffix("\n").removesuffix("\r") or None
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            self._problems.append(f"{name}_FILE is {path!r}, which can't be read: {reason}")
            return None

    def _read(  # noqa: PLR0913 - private, and called with all of them by every look-up
        self,
        name: str,
        default: T | None,
        parse: Callable[[str], T | None],
        allowed: str,
        placeholder: T,
        *,
        secret: bool,
    ) -> T:
        problems_before = len(self._problems)
        raw = self._raw(name)
        if raw is None:
            if default is None and len(self._problems) == problems_before:
                self._problems.append(f"{name} is not set; expected {allowed}")
            return placeholder if default is None else default
        value = parse(raw)
        if value is None:
            shown = "set to a value that does not fit" if secret else repr(raw)
            self._problems.append(f"{name} is {shown}; expected {allowed}")
            return placeholder
        return value

    def text(
        self,
        name: str,
        default: str | None = None,
        *,
        pattern: str = r".+",
        allowed: str = "some text",
        secret: bool = False,
    ) -> str:
        """Return a text that matches the pattern as a whole."""
        expression = re.compile(pattern, re.DOTALL)
        return self._read(
            name, default, lambda raw: raw if expression.fullmatch(raw) else None, allowed, "", secret=secret
        )

    def integer(self, name: str, default: int | None = None, *, minimum: int, maximum: int) -> int:
        """Return a whole number between minimum and maximum, both included."""

        def parse(raw: str) -> int | None:
            if not re.fullmatch(r"[+-]?[0-9]{1,18}", raw):
                return None
            return int(raw) if minimum <= int(raw) <= maximum else None

        return self._read(name, default, parse, f"a whole number from {minimum} to {maximum}", minimum, secret=False)

    def boolean(self, name: str, *, default: bool | None = None) -> bool:
        """Return a yes or no."""

        def parse(raw: str) -> bool | None:
            word = raw.strip().lower()
            return True if word in TRUE else False if word in FALSE else None

        return self._read(
            name, default, parse, "true or false (or 1/0, yes/no, on/off)", placeholder=False, secret=False
        )

    def choice(self, name: str, choices: Sequence[str], default: str | None = None) -> str:
        """Return one of the choices, in the spelling they are given in."""
        by_lower = {choice.lower(): choice for choice in choices}
        return self._read(
            name,
            default,
            lambda raw: by_lower.get(raw.lower()),
            "one of " + ", ".join(choices),
            choices[0],
            secret=False,
        )

    def words(
        self,
        name: str,
        default: Sequence[str] | None = None,
        *,
        pattern: str = r"\S+",
        allowed: str,
        secret: bool = False,
    ) -> list[str]:
        """Return a list that is written with commas between; each item must match the pattern as a whole."""

        def parse(raw: str) -> list[str] | None:
            items = [item.strip() for item in raw.split(",") if item.strip()]
            return items if items and all(re.fullmatch(pattern, item) for item in items) else None

        return self._read(
            name,
            None if default is None else list(default),
            parse,
            f"{allowed}, separated by commas",
            [],
            secret=secret,
        )

    def require(self, *, condition: bool, problem: str) -> None:
        """Note a rule across variables that does not hold."""
        if not condition:
            self._problems.append(problem)

    def check(self) -> None:
        """Raise EnvironmentErrors if anything was wrong."""
        if self._problems:
            raise EnvironmentErrors(self._problems)
