"""``python -m untrac_core``: the command line."""

import sys

from untrac_core.cli.app import main

sys.exit(main())
