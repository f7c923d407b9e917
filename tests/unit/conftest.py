"""Collections are imported through Ansible's own loader, from the start: what it loads must not be loaded twice."""

from __future__ import annotations

import os
from pathlib import Path

# A key that stands twice in a manifest loses one of its values. Read when Ansible is imported.
os.environ["ANSIBLE_DUPLICATE_YAML_DICT_KEY"] = "error"

from ansible.plugins.loader import init_plugin_loader

init_plugin_loader([str(Path(__file__).resolve().parents[2] / "collections")])
