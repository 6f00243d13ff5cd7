"""Backups of a service's database: taken from one snapshot, sealed, kept for a while, and proven by restoring them.

docs/operations.md says how to use them. `catalog.last_backup` is what others ask for the age of the last one.
"""
