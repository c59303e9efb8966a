"""Who writes under an Idempotency-Key, and what became of its body."""
