"""Stills: a step of a run as a figure for slides, several side by side, and a walk as a moving picture. No browser."""

from kvmlab.panels.stills.make import figure, filmstrip, gif

__all__ = ["figure", "filmstrip", "gif"]
