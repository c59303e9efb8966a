"""The topics as they are declared, and how they get more partitions."""
