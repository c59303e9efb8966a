"""What the worker relies on: looked at before it starts, and while it runs."""
