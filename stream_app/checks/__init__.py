"""What the worker stands on: looked at before it starts, and while it runs."""
