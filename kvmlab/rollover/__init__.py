"""How often VMIDs run out: exact mathematics (`theory`), who enters next (`schedules`), and counting (`measure`)."""
