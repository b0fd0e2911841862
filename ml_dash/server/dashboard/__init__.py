"""The dashboard's pages, as they are built from the TypeScript in the project's `dashboard/`."""

import os

DIST = os.path.join(os.path.dirname(os.path.abspath(__file__)), "dist")
"""The directory that they are built into."""
