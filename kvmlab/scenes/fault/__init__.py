"""The fault scene: how a guest page gets its memory."""
