"""Checks that the books balance."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from ledger.checks import ALL_INVARIANTS, violations
from ledger.models import Account, Movement, Posting


class Command(BaseCommand):
    """Prints what breaks an invariant; the exit code is 1 if anything does."""

    help = "Check every invariant of the books. Exit code 0: all hold; 1: some don't."

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the output format."""
        parser.add_argument("--json", action="store_true", help="one JSON object instead of text")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Check and print."""
        found = violations()
        counts = {
            "accounts": Account.objects.count(),
            "movements": Movement.objects.count(),
            "postings": Posting.objects.count(),
        }
        if options["json"]:
            report = {"ok": not found, "violations": [asdict(item) for item in found], "checked": counts}
            self.stdout.write(json.dumps(report | {"invariants": list(ALL_INVARIANTS)}))
        else:
            for item in found:
                self.stdout.write(f"VIOLATED: {item.invariant}: {item.detail}")
            summary = ", ".join(f"{number} {name}" for name, number in counts.items())
            self.stdout.write(f"{len(found)} violations of {len(ALL_INVARIANTS)} invariants; {summary}")
        if found:
            sys.exit(1)
