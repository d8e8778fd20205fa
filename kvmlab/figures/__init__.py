"""Figures for talks and notebooks: each is data first, then a drawing of that data."""
