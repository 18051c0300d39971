"""Sections 5.6 and A.5 to A.7: what changes with the subset, the statistic, and LogME's code."""
