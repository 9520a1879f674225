"""``python -m untrac_core``: the command line."""

import sys

from untrac_core.cli import main

sys.exit(main())
