"""The client that sends readings: acknowledged, surely not sent, or unknown."""
