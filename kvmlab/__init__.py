"""A Jupyter teaching kit: how KVM/ARM (Linux 3.9) gives guests memory, on an exact model of it."""

__version__ = "0.1.0"
