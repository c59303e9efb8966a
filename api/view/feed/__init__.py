"""From the process that follows the changelogs to those that read its copies.

The copies on disk have the rows; the feed says what stands beside them (picture.py), after each
write. `sender.py` is the following side, `receiver.py` the reading one.
"""
