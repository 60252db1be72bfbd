"""Any attribution method as Captum's classes are: tensors in, tensors out, by ``attribute(inputs, target=...)``."""

from collections.abc import Hashable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attribution_bench.attribution import Attribution
from attribution_bench.errors import InvalidInputError, MissingDependencyError, TargetError, UnsupportedError
from attribution_bench.models import Target, as_sequence_model
from attribution_bench.registry import get_method
from attribution_bench.request import checked_further_inputs

try:
    import torch
    from captum.attr import PerturbationAttribution
except ImportError as error:
    raise MissingDependencyError.of(error.name or "captum", "torch", "the bridge to Captum") from error


class CaptumAttribution(PerturbationAttribution):  # type: ignore[misc]
    """A method of this package as a `captum.attr.PerturbationAttribution`, for code that is written for Captum.

    Parameters
    ----------
    forward_func
        A torch.nn.Module, or a `SequenceModel` of one.
    method
        Name of the method, as `attribution_bench.list_methods` gives it.
    multiply_by_inputs
        As in Captum's own classes: True for the scores of the letters that are there, zero at every other letter; False
        for what each letter would contribute (hypothetical scores).
    options
        Of the method.

    Raises
    ------
    UnsupportedError
        The model is none of PyTorch.
    UnknownNameError, OptionError
        There is no such method, or it takes no such option.
    """

    def __init__(self, forward_func: Any, method: str, *, multiply_by_inputs: bool = True, **options: Any) -> None:
        model = as_sequence_model(forward_func)
        if model.framework != "torch":
            raise UnsupportedError(f"Captum takes models of PyTorch, and this one is of {model.framework}")
        super().__init__(model.model)
        self.method: Attribution = get_method(method)(model, **options)
        self._multiply_by_inputs = multiply_by_inputs

    @property
    def multiplies_by_inputs(self) -> bool:
        """Whether the scores are those of the letters that are there."""
        return self._multiply_by_inputs

    def attribute(
        self,
        inputs: torch.Tensor | tuple[torch.Tensor],
        target: Any = None,
        additional_forward_args: Any = None,
        *,
        batch_size: int | None = None,
    ) -> torch.Tensor | tuple[torch.Tensor]:
        """Score one-hot sequences.

        Parameters
        ----------
        inputs
            (N, A, L) as the model takes it, (N, L, A) in the layout ``NLA``; or a tuple of this one tensor.
        target
            As Captum has it: an index, a tuple of indices, or one of these a sequence, as a list, or as a tensor or an
            array (N,) or (N, axes); None where the model has one value. Beside these, all that `Attribution.attribute`
            takes for one value.
        additional_forward_args
            The model's further inputs: a tensor, or a tuple of tensors, each with N rows.
        batch_size
            Sequences in one call of the model.

        Returns
        -------
        Scores in the shape and floating-point type of the inputs, on the model's device; a tuple where a tuple was
        given.

        Raises
        ------
        InvalidInputError
            Inputs that are no one-hot tensor, several of them, or whatever `Attribution.attribute` refuses.
        """
        single = isinstance(inputs, torch.Tensor)
        given = (inputs,) if single else tuple(inputs)
        if len(given) != 1 or not isinstance(given[0], torch.Tensor):
            raise InvalidInputError(
                f"inputs must be one tensor of sequences, not {len(given)} inputs; give the others as "
                "additional_forward_args"
            )
        sequences = given[0].detach()
        model = self.method.model
        if model.layout == "NLA" and sequences.ndim == 3:
            sequences = sequences.transpose(1, 2)
        extras = checked_further_inputs(additional_forward_args, len(sequences))
        scores = torch.empty(sequences.shape, dtype=_floating(given[0]), device=model.device)
        for chosen, rows in _by_target(target, len(sequences)):
            some = tuple(extra[rows] for extra in extras)
            scores[rows] = self._scores(sequences[rows], chosen, some, batch_size).to(scores)
        if model.layout == "NLA":
            scores = scores.transpose(1, 2)
        return scores if single else (scores,)

    def _scores(
        self, sequences: torch.Tensor, target: Target, extras: tuple[NDArray[Any], ...], batch_size: int | None
    ) -> torch.Tensor:
        """Return scores (N, A, L) of one target for all sequences."""
        result = self.method.attribute(sequences, target=target, additional_forward_args=extras, batch_size=batch_size)
        scores = result.scores
        if scores.size != result.one_hot.size:
            raise TargetError(f"Captum attributes one value, but {target!r} is of the axes {scores.shape[3:]}")
        scores = scores.reshape(result.one_hot.shape)
        return torch.from_numpy(np.ascontiguousarray(scores * result.one_hot if self._multiply_by_inputs else scores))


def _floating(tensor: torch.Tensor) -> torch.dtype:
    return tensor.dtype if tensor.is_floating_point() else torch.get_default_dtype()


def _by_target(target: Any, count: int) -> list[tuple[Any, Any]]:
    """Return each target with the rows that it is of: one for all, or as many as Captum's target of N has."""
    if isinstance(target, torch.Tensor | np.ndarray):
        listed = target.tolist()
        target = target.item() if np.size(listed) == 1 else listed
    if not isinstance(target, list):
        return [(target, slice(None))]
    if len(target) != count:
        raise InvalidInputError(f"a target for each sequence must have {count} entries, not {len(target)}")
    each = [_indices(one) for one in target]
    return [(one, [row for row, other in enumerate(each) if other == one]) for one in dict.fromkeys(each)]


def _indices(target: Any) -> Hashable:
    """Return the target of one sequence as an index, a tuple of indices, or another that can be told from the rest."""
    plain = target.tolist() if isinstance(target, torch.Tensor | np.ndarray | np.generic) else target
    found = tuple(plain) if isinstance(plain, list) else plain
    try:
        hash(found)
    except TypeError as error:
        raise TargetError(
            f"the target of each sequence must be an index or a tuple of indices, not {target!r}"
        ) from error
    return found
