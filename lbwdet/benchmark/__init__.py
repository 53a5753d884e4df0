"""``lbwdet benchmark``: an artifact and its peers, each in its own process, timed in turns."""
