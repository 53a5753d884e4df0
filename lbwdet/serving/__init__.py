"""A detector behind HTTP: images in, boxes out, within limits (docs/serving.md)."""
