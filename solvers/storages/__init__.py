"""Storages: where evaluated points are kept, and found again."""
