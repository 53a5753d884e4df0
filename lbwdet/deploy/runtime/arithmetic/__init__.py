"""What several operations compute alike, in numpy, to the last bit."""
