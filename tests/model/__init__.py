"""The protocol as a simulation: any step may be the last, any unacknowledged effect may be lost."""
