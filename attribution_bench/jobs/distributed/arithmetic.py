"""Arithmetic of a process: its device and its precision, on which the rounding of every number depends."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from attribution_bench.errors import DeviceError
from attribution_bench.models import SequenceModel


@dataclass(frozen=True)
class Arithmetic:
    """Where and how precisely a process computes; the same everywhere in one job."""

    device: str
    precision: Mapping[str, Any]
    """Level and state of the framework; see `SequenceModel.precision_state`."""

    @classmethod
    def of(cls, model: SequenceModel) -> "Arithmetic":
        """Return that of a model that is open."""
        return cls(model.device, {"level": model.precision, **model.precision_state()})

    def __str__(self) -> str:
        return f"on {self.device} ({', '.join(f'{name} {value}' for name, value in self.precision.items())})"

    def check(self, began: "Arithmetic") -> None:
        """Check that this process computes as the one where a job began; raises DeviceError."""
        if self != began:
            raise DeviceError(
                f"it computes {self} here, {began} where the job began; have every process compute alike, "
                "or begin anew with --restart"
            )
