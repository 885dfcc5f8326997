"""Runs the command for `python -m vulcan_operator`."""

import sys

from vulcan_operator.cli import main

sys.exit(main())
