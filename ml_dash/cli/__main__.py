"""`python -m ml_dash.cli` is `ml-dash`."""

from __future__ import annotations

import sys

from ml_dash.cli import main

if __name__ == "__main__":
    sys.exit(main())
