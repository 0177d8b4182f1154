"""Toy models with something odd about them; in a module of their own, which workers load quickly."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass

import numpy as np
from toy_model import ToyModel

from datasette_faces.errors import ModelError
from datasette_faces.models.base import Engine


@dataclass
class NiceModel(ToyModel):
    """A model whose embedding of a face points to the niceness of its process beside 10."""

    id: str = "nice"

    def load(self) -> Engine:
        engine = super().load()
        nice = np.array([[os.nice(0), 10, 0]], np.float32)
        return Engine(engine.info, engine.detect, lambda faces: nice.repeat(len(faces), 0))


@dataclass
class RaisingModel(ToyModel):
    """A stranger's model with a mistake in it."""

    id: str = "raising"

    def load(self) -> Engine:
        raise ZeroDivisionError("the weights broke")


@dataclass
class AbsentModel(ToyModel):
    """A model that needs what is not installed."""

    id: str = "absent"

    def missing(self) -> str | None:
        return "the model absent needs pip install absent"


@dataclass
class SlowModel(ToyModel):
    """A model that takes a while to load, and writes down that it did."""

    id: str = "slow"

    def load(self) -> Engine:
        time.sleep(0.5)
        with open(self.log, "a") as log:
            log.write("loaded\n")
        return super().load()


@dataclass
class HangingModel(ToyModel):
    """A model that never finishes loading."""

    id: str = "hanging"

    def load(self) -> Engine:
        time.sleep(3600)
        raise AssertionError


@dataclass
class TellingModel(ToyModel):
    """A model that cannot be used for a reason, which it gives before it is loaded, or then."""

    id: str = "telling"
    reason: str = ""
    when: str = ""

    def missing(self) -> str | None:
        return self.reason if self.when == "missing" else None

    def load(self) -> Engine:
        raise ModelError(self.reason)
