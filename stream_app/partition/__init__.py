"""One partition of the readings: from chunk to fold to commit."""
