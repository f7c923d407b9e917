"""What of pg_dumpall's globals a server lacks. A pure function over its text."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

NAME: Final = r'("(?:[^"]|"")+"|[^\s";,]+)'
CREATE: Final = re.compile(rf"CREATE ROLE {NAME};")
ABOUT_ROLE: Final = re.compile(rf"(?:ALTER ROLE|COMMENT ON ROLE|SECURITY LABEL .*ON ROLE) {NAME}[ ;]")
MEMBER: Final = re.compile(rf"GRANT {NAME} TO {NAME}[ ;]")


def statements(text: str) -> list[str]:
    """Return the statements of a script of pg_dumpall. A value may go over several lines."""
    found, begun = [], ""
    for line in text.splitlines():
        if not begun and (not line.strip() or line.startswith(("--", "\\"))):
            continue
        begun = f"{begun}\n{line}" if begun else line
        # Outside of quotes every kind of quote has come in pairs.
        if line.endswith(";") and begun.count("'") % 2 == 0 and begun.count('"') % 2 == 0:
            found.append(begun)
            begun = ""
    return found


def missing(text: str, there: Collection[str]) -> tuple[list[str], list[str]]:
    """Return the statements that make the roles that aren't there, and the names of those roles.

    Nothing is changed on a role that exists: its password and rights are the server's own. Tablespaces are left out:
    their folders belong to a machine. Who granted a membership is left out, since it may be nobody here.

    Args:
        text: what `pg_dumpall --globals-only` wrote.
        there: names of the server's roles.
    """
    listed = statements(text)
    new = {_plain(match[1]) for one in listed if (match := CREATE.fullmatch(one))} - set(there)
    wanted = []
    for one in listed:
        if (made := CREATE.fullmatch(one)) or (made := ABOUT_ROLE.match(one)):
            if _plain(made[1]) in new:
                wanted.append(one)
        elif (member := MEMBER.match(one)) and {_plain(member[1]), _plain(member[2])} & new:
            wanted.append(re.sub(rf" GRANTED BY {NAME};$", ";", one))
    return wanted, sorted(new)


def _plain(name: str) -> str:
    """Return a name without SQL's quotes."""
    return name[1:-1].replace('""', '"') if name.startswith('"') else name
