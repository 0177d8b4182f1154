"""Photographs on disk into a faces database."""
