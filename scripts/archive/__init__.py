"""Packs Python, the locked packages and this project into one archive for the nodes of a cluster; see scripts/build."""
