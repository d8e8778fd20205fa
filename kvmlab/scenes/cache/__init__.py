"""The cache scene: pages for tables, taken before the lock."""
