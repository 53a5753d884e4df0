"""Limits that several rooms keep."""

MAX_PIXELS = 1 << 29  # of an image, in a file or in memory
