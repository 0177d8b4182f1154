"""Who is who: what people decide, what the machine groups, and names from elsewhere. No HTTP, no click."""
