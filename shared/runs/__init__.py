"""Runs as records: written to W&B, read back, collated into tidy tables, snapshotted, counted.

Nothing here imports torch; W&B is imported only where a run is written or fetched.
"""
