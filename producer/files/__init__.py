"""Files of readings, read in bounded memory: lines, CSV and Parquet, plain or compressed.

inflating.py (bytes of a file) -> lines.py (its lines) -> ndjson.py, delimited.py; columnar.py
(Parquet) -> rows.py (what they all yield). Every row is judged by the contract's one validator.
"""
