"""`python -m exchange_backup`."""

import sys

from exchange_backup.cli import main

sys.exit(main())
