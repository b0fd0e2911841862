"""What a logged value becomes, and what is computed of it."""

from ml_dash.errors import ValueWarning as ValueWarning
