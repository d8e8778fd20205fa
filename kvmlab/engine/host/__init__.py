"""The host: the process that owns a guest's memory, and what its memory management does to the pages."""
