"""Intervals, the closed list of rules, claims as data, and verdicts. Nothing here imports torch."""
