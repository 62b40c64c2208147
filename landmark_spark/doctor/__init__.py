"""Checks whether a run would find what it needs: on the driver, and on each executor."""
