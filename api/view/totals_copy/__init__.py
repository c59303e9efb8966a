"""The reader's copy on disk of the view `device_totals`: TotalsCopy, in copy.py."""
