"""The SQL functions, and their errors in words."""
