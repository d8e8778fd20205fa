"""The TLB scene: who may use which translation."""
