"""The suite: one directory a tier, see CONTRIBUTING.md."""
