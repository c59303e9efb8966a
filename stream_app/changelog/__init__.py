"""The changelog of a view: who may write it, from which offset, and how a store reads it back."""
