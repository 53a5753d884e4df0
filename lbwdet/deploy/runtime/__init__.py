"""Runs artifacts with numpy alone: neither torch nor mmdet is imported here."""
