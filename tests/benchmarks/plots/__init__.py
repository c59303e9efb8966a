"""The plots of docs/BENCHMARKS.md: measured by `python -m tests.benchmarks.plots`, drawn as SVG."""
