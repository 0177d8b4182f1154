"""Pure functions on arrays: geometry, vectors, clustering, calibration. No I/O, no SQL, no models."""
