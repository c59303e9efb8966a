"""The reader's copy on disk of the view `energy_series`: LMDB.

Rows of the changelog are hours of a device at a location; the copy puts them together in days,
and keeps the days of each location and of the fleet beside them. SeriesCopy (copy.py) is what
others use.
"""
