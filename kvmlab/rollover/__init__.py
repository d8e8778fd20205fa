"""How often VMIDs run out: exact mathematics (`theory`) and the engine's own allocator, counted (`measure`)."""
