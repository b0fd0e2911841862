"""The version, which hatch and every request read here."""

__version__ = "0.1.0"
