"""Whether the books balance: the series adds up to the totals."""
