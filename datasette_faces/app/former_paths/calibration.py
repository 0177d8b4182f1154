"""`datasette_faces.calibration`, as it is documented; it lies in `algorithms`."""

from datasette_faces.algorithms.calibration import Curve, fit

__all__ = ["Curve", "fit"]
