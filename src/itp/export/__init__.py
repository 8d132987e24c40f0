"""Runs in the formats of other tools; `itp export` is the command."""
