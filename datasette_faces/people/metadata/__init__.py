"""Names that other programs wrote into photos or the files next to them: read, and written back as XMP."""
