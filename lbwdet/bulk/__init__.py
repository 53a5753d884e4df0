"""Detections over more images than one looks at: shard after shard, on one machine or many."""
