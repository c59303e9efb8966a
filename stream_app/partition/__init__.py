"""What one partition has folded, when it commits and in which order: pure."""
