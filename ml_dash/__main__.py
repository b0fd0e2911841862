"""`python -m ml_dash` is `ml-dash`, also where the directory of scripts is not on the path."""

from __future__ import annotations

import sys

from ml_dash.cli import main

if __name__ == "__main__":
    sys.exit(main())
