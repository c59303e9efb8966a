"""The worker as a process: logs, metrics over HTTP, how it ends, its memory."""
