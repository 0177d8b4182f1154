"""`datasette_faces.calibration`, the documented import path of `algorithms.calibration`."""

from datasette_faces.algorithms.calibration import Curve, evaluate, fit

__all__ = ["Curve", "evaluate", "fit"]
