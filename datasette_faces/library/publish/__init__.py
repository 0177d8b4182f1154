"""A catalogue to publish, made from a private file."""
