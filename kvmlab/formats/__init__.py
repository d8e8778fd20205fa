"""Files that kvmlab reads: golden traces recorded from the real kernel code."""
