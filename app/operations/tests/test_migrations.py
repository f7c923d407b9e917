"""Migrations expand first and contract later: code of the version before runs beside the new schema."""

from __future__ import annotations

import pytest
from django.apps import apps
from django.conf import settings
from django_migration_linter import MigrationLinter

OURS = sorted(app.label for app in apps.get_app_configs() if (settings.BASE_DIR / app.label / "migrations").is_dir())
# They make tables, and rules for these, that no earlier version knows.
NEW_TABLES = ["0001_initial", "0002_guards", "0001_cache"]


@pytest.mark.parametrize("app", OURS)
def test_old_code_can_live_with_the_new_schema(db: None, app: str, capsys: pytest.CaptureFixture[str]) -> None:
    del db
    linter = MigrationLinter(str(settings.BASE_DIR), ignore_name=NEW_TABLES, include_apps=[app], no_cache=True)
    linter.lint_all_migrations()
    assert not linter.has_errors, capsys.readouterr().out
