"""Processes on one machine: broker, `energy up`, supervisor; decides nothing about data."""
