"""A small synthetic world in the form of the challenge."""
