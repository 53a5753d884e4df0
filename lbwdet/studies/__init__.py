"""Small reproductions of theory: numpy and matplotlib, no detector."""
