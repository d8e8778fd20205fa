"""What the silicon does: descriptors, the stage-2 walk, TLBs, syndrome registers. Knows nothing of the kernel."""
