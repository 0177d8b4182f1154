"""Names that other programs wrote, in a photo or beside it: bytes in, values out, and back into XMP."""
