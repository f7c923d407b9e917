"""Collections are imported through Ansible's own loader, from the start: what it loads must not be loaded twice."""

from __future__ import annotations

from pathlib import Path

from ansible.plugins.loader import init_plugin_loader

init_plugin_loader([str(Path(__file__).resolve().parents[2] / "collections")])
