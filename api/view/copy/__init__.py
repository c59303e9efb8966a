"""A reader's copy of a view on disk, of any view: LMDB.

One process writes it, any number read it. Rows, positions in the changelog and markers are
written in one transaction, so what is read is one snapshot, and a start reads only the changelog's
tail. ReaderCopy (reader_copy.py) is what each view's copy is made of: ../series_copy/ and
../totals_copy/ say what is in it.
"""
