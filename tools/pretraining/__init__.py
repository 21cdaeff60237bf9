"""How the bundled encoder was made: `python -m tools.pretraining`."""
