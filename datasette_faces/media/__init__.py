"""Files and pixels: reading, decoding, EXIF, crops, redaction, limits on pictures. No models, no SQL."""
