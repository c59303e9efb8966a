"""The six formats of an answer."""
