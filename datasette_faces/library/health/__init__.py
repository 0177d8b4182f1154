"""The checks of a database, and their repairs."""
