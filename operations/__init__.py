"""What an operator does to a running installation: topics, views, replay, backfill, quarantine."""
