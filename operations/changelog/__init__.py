"""Changelogs of view versions as an operator reads them: transaction by transaction, whole."""
