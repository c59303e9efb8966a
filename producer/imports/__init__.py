"""Rows written exactly once, with the position they lead to in `energy_imports`."""
