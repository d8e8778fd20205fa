"""The tables scene: the tree of stage-2 tables."""
