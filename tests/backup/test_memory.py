"""However large the database is, memory is bounded."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

from exchange_backup.config import Config

from backup.conftest import make_noise, write

MOST_KIB = 256 << 10
# Runs a command and says how much memory the largest of its processes took, in KiB.
MEASURE = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:]).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(code)
"""


def measured(*command: str) -> int:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    argv = [sys.executable, "-c", MEASURE, sys.executable, "-m", "exchange_backup", *command]
    done = subprocess.run(argv, env=env, stdout=subprocess.PIPE, text=True, check=True)
    return int(done.stdout.split()[-1])


def test_memory_stays_under_256_mib(config: Config, tmp_path: Path, key_file: Path) -> None:
    make_noise(config.database, 200)
    target = dataclasses.replace(config.target, part_mib=16, segment_mib=1024)
    file = write(dataclasses.replace(config, target=target), tmp_path)
    assert measured(f"--config={file}", "backup") < MOST_KIB
    assert measured(f"--config={file}", "verify", f"--private-key={key_file}") < MOST_KIB
    assert measured(f"--config={file}", "restore", f"--private-key={key_file}") < MOST_KIB
