"""Write every dashboard's JSON to a folder: `make dashboards`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Final

from dashboards.application import application
from dashboards.backups import backups
from dashboards.board import text
from dashboards.business import business
from dashboards.database import database
from dashboards.ingress import ingress
from dashboards.logs import logs
from dashboards.nodes import nodes, pod
from dashboards.overview import overview

FOLDER: Final = Path(__file__).resolve().parent.parent / "files" / "dashboards"


def everything() -> list[dict[str, Any]]:
    """Return all dashboards."""
    return [make() for make in (overview, application, business, database, ingress, nodes, pod, backups, logs)]


def main() -> None:
    """Write them, and remove what is no longer made."""
    made = {FOLDER / f"{content['uid']}.json": text(content) for content in everything()}
    FOLDER.mkdir(parents=True, exist_ok=True)
    for path in set(FOLDER.glob("*.json")) - set(made):
        path.unlink()
    for path, written in made.items():
        path.write_text(written)
        sys.stdout.write(f"{path.name}\n")


if __name__ == "__main__":
    main()
