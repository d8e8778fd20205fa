"""The VMID scene: numbers that run out."""
