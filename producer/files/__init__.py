"""Files of readings, read in bounded memory: lines, CSV, JSON and Parquet, plain or compressed.

inflating.py (bytes of a file) -> content.py (what they are, from their first ones on) -> lines.py
(its lines) -> ndjson.py; header.py, delimited.py and cells.py (CSV); documents.py (JSON arrays
and objects over lines); columnar.py (Parquet) -> rows.py (what they all yield) -> reading.py.
Every row is judged by the contract's one validator.
"""
