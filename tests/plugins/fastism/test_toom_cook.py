"""Toom-Cook convolutions: the right numbers, few products, little rounding."""

import numpy as np
import pytest

from attribution_bench_plugins.fastism.numerics.blocks import BLOCK_SIZES, BlockedConvolution, blocked_convolution
from attribution_bench_plugins.fastism.numerics.toom_cook import MOST_AMPLIFICATION, fewest_products, toom_cook


def test_karatsuba_by_hand() -> None:
    """(a + bx)(c + dx) from ac, (a + b)(c + d) and bd."""
    convolution = toom_cook(2, 2, 3)
    np.testing.assert_array_equal(convolution.evaluation, [[1, 0], [1, 1], [0, 1]])
    np.testing.assert_array_equal(convolution.kernel_evaluation, [[1, 0], [1, 1], [0, 1]])
    np.testing.assert_array_equal(convolution.interpolation, [[1, 0, 0], [-1, 1, -1], [0, 0, 1]])


@pytest.mark.parametrize("width", [1, 2, 3, 4, 5, 7, 8, 11, 13, 16])
@pytest.mark.parametrize("kernel", [1, 2, 3, 5, 7, 11, 12, 25, 32])
def test_every_size_gives_the_convolution_with_no_more_products_than_pairs(width: int, kernel: int) -> None:
    convolution = fewest_products(width, kernel)
    random = np.random.default_rng(0)
    x, taps = random.normal(size=width), random.normal(size=kernel)
    found = convolution.interpolation @ ((convolution.evaluation @ x) * (convolution.kernel_evaluation @ taps))
    np.testing.assert_allclose(found, np.convolve(x, taps), rtol=0, atol=1e-12)
    assert width + kernel - 1 <= convolution.products <= width * kernel
    assert min(width, kernel) == 1 or convolution.products < width * kernel


@pytest.mark.parametrize(
    ("width", "kernel", "products"),
    [
        (2, 2, 3),
        (2, 3, 4),
        (4, 3, 6),
        (4, 4, 7),
        (6, 3, 9),
        (5, 7, 13),
        (7, 7, 16),
        (7, 11, 22),
        (2, 32, 39),
        (16, 32, 67),
    ],
)
def test_products_are_as_few_as_is_known(width: int, kernel: int, products: int) -> None:
    """As many as coefficients, and one more for each pair of conjugate points or each part of a long kernel."""
    assert fewest_products(width, kernel).products == products


@pytest.mark.parametrize(("width", "kernel"), [(2, 3), (4, 3), (5, 7), (6, 3), (6, 7), (7, 11), (13, 7), (16, 25)])
def test_rounding_in_single_precision_is_within_what_is_said(width: int, kernel: int) -> None:
    convolution, channels, rows = fewest_products(width, kernel), 200, 50
    assert convolution.amplification <= MOST_AMPLIFICATION
    random = np.random.default_rng(0)
    x = random.normal(size=(rows, width, channels)).astype(np.float32)
    taps = random.normal(size=(kernel, channels)).astype(np.float32)
    truth, plain = (np.zeros((rows, width + kernel - 1), dtype) for dtype in (np.float64, np.float32))
    for j in range(kernel):
        truth[:, j : j + width] += x.astype(np.float64) @ taps[j].astype(np.float64)
        plain[:, j : j + width] += x @ taps[j]
    evaluation, kernel_evaluation, interpolation = (
        matrix.astype(np.float32)
        for matrix in (convolution.evaluation, convolution.kernel_evaluation, convolution.interpolation)
    )
    products = np.einsum("rpc,pc->rp", np.einsum("pw,rwc->rpc", evaluation, x), kernel_evaluation @ taps)
    found = products @ interpolation.T
    rounding, usual = (np.sqrt(np.mean((result - truth) ** 2)) for result in (found, plain))
    assert rounding <= MOST_AMPLIFICATION * usual


@pytest.mark.parametrize("size", BLOCK_SIZES)
@pytest.mark.parametrize("kernel", [1, 4, 11, 41])
@pytest.mark.parametrize("width", [1, 6, 50])
def test_blocks_of_a_window_and_of_a_kernel_give_their_convolution(width: int, kernel: int, size: int) -> None:
    blocked = BlockedConvolution(size, kernel)
    random = np.random.default_rng(0)
    x, taps = random.normal(size=width), random.normal(size=kernel)
    blocks = -(-width // size)
    values = np.pad(x, (0, blocks * size - width)).reshape(blocks, size) @ blocked.convolution.evaluation.T
    filled = np.pad(taps, (0, blocked.kernel_blocks * size - kernel)).reshape(-1, size)
    weights = filled @ blocked.convolution.kernel_evaluation.T
    products = np.stack([np.convolve(*pair) for pair in zip(values.T, weights.T, strict=True)], axis=1)
    own, following = np.split(blocked.interpolation, 2)
    edged = np.pad(products, ((1, 1), (0, 0)))
    found = (edged[1:] @ own.T + edged[:-1] @ following.T).flatten()
    np.testing.assert_allclose(found[: width + kernel - 1], np.convolve(x, taps), rtol=0, atol=1e-12)
    assert blocked.amplification <= MOST_AMPLIFICATION


@pytest.mark.parametrize(("kernel", "size", "products"), [(1, 2, 3), (3, 3, 5), (11, 4, 21), (21, 4, 42), (41, 4, 77)])
def test_blocks_of_a_size_that_takes_few_products(kernel: int, size: int, products: int) -> None:
    """For each block of a long window."""
    blocked = blocked_convolution(kernel)
    assert (blocked.size, blocked.points * blocked.kernel_blocks) == (size, products)
