"""The log that totals are kept in: who may write it, from where, and how it is read back."""
