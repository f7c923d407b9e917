"""Settings of an application whose static files are served as in production: collected, hashed, compressed."""

import os
from pathlib import Path

from exchange.settings import *  # noqa: F403

# Collected there by whoever starts it.
STATIC_ROOT = Path(os.environ["TEST_STATIC_ROOT"])
