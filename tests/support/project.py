"""Where the project lies: scripts that tests start run there, or import from there."""

from pathlib import Path

PROJECT = Path(__file__).parents[2]
