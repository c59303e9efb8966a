"""The view in memory: follows the changelog of the live version."""
