"""Things to look at within minutes: drawn detections, and the toy demo."""
