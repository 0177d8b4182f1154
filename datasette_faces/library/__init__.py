"""A whole file's life: ingested, checked, repaired, published, audited. No HTTP, no click."""
