"""An experiment's directory, besides its journal."""
