"""Where things are kept: the project, the cache outside the checkout, and what a cluster leaves in build/."""

from __future__ import annotations

import os
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
HERE = PROJECT / "tests" / "cluster"


def cache() -> Path:
    """Return the cache folder; CRYPTOEXCHANGE_CACHE names another one."""
    named = os.environ.get("CRYPTOEXCHANGE_CACHE")
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(named).absolute() if named else base / "cryptoexchange-platform"


def tools() -> Path:
    """Return the folder of the binaries that people and playbooks call (kind, kubectl, helm)."""
    return cache() / "bin"
