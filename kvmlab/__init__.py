"""A Jupyter teaching kit: how KVM/ARM (Linux 3.9) gives guests memory, on an exact model of it."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kvmlab.panels.practice import practice
    from kvmlab.panels.progress import progress

__version__ = "0.1.0"
__all__ = ["practice", "progress"]


def __getattr__(name: str) -> Any:
    """Load `practice` and `progress` when they are first asked for: they need widgets, which take a while to load."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"kvmlab.panels.{name}"), name)
