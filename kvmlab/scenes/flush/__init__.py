"""The flush scene: how often the numbers run out."""
