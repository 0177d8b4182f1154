"""All SQL on the schema of `migrations`: functions that take a connection first. No HTTP, no click.

`photos`, `faces` and `scans` are what an ingest asks and writes, `browse` what the pages read,
`summary` what is in a file.
"""
