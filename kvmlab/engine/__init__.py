"""The model: plain Python, standard library only; it knows nothing of drawing."""

from kvmlab.engine.commands import Slot
from kvmlab.engine.config import Config
from kvmlab.engine.errors import InputError, KernelBug
from kvmlab.engine.events import Event, Stream
from kvmlab.engine.guest import Access
from kvmlab.engine.image import Image
from kvmlab.engine.machine import Machine, Operation

__all__ = ["Access", "Config", "Event", "Image", "InputError", "KernelBug", "Machine", "Operation", "Slot", "Stream"]
