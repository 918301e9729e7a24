"""Kernels written as chains of smaller kernels. Pure arithmetic: no model, no settings, no choice of ranks.

A kernel is `(height, width, input channels, output channels)`, that of a dense layer `(1, 1, inputs, outputs)`. Every
function gives the kernels of a chain in the order in which an image passes them; `composed` multiplies them out again.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Kernel = np.ndarray

# CP is alternated until a sweep lowers the squared error by less than this share of the kernel's own square.
SETTLED = 1e-7
# Added to the normal equations, relative to their mean diagonal: two components that cancel out must not run away.
RIDGE = 1e-9


def by_input(kernel: Kernel) -> np.ndarray:
    """The unfolding (input channels, height x width x output channels)."""
    return np.moveaxis(kernel, 2, 0).reshape(kernel.shape[2], -1)


def by_output(kernel: Kernel) -> np.ndarray:
    """The unfolding (output channels, height x width x input channels)."""
    return np.moveaxis(kernel, 3, 0).reshape(kernel.shape[3], -1)


def by_direction(kernel: Kernel) -> np.ndarray:
    """The matrix (height x input channels, width x output channels)."""
    height, width, inputs, outputs = kernel.shape
    return kernel.transpose(0, 2, 1, 3).reshape(height * inputs, width * outputs)


def low_rank(matrix: np.ndarray, rank: int) -> tuple[np.ndarray, np.ndarray]:
    """(rows, rank) and (rank, columns) whose product is nearest to `matrix`; both carry the root of the spectrum."""
    left, values, right = np.linalg.svd(matrix, full_matrices=False)
    root = np.sqrt(values[:rank])
    return left[:, :rank] * root, root[:, None] * right[:rank]


def pointwise_pair(kernel: Kernel, rank: int) -> tuple[Kernel, Kernel]:
    """A dense layer or a 1x1 convolution as two: inputs to `rank` to outputs."""
    first, second = low_rank(kernel[0, 0], rank)
    return first[None, None], second[None, None]


def spatial_pair(kernel: Kernel, rank: int) -> tuple[Kernel, Kernel]:
    """A column of the kernel's height to `rank` channels, then a row of its width.

    Source: Jaderberg et al., arXiv:1405.3866, scheme 2; here by one singular value decomposition.
    """
    height, width, inputs, outputs = kernel.shape
    first, second = low_rank(by_direction(kernel), rank)
    vertical = first.reshape(height, 1, inputs, rank)
    return vertical, second.reshape(rank, width, outputs).transpose(1, 0, 2)[None]


def tucker2(kernel: Kernel, rank_in: int, rank_out: int, sweeps: int = 0) -> tuple[Kernel, Kernel, Kernel]:
    """1x1 to `rank_in` channels, a small kernel of the full size to `rank_out`, 1x1 to the outputs.

    The subspaces are the leading ones of the two channel unfoldings; every sweep improves each given the other (HOOI),
    which never makes the error larger. Source: Kim et al., arXiv:1511.06530, section 3.
    """
    into, out = _leading(by_input(kernel), rank_in), _leading(by_output(kernel), rank_out)
    for _ in range(sweeps):
        into = _leading(by_input(kernel @ out), rank_in)
        out = _leading(by_output(np.einsum("hwcn,cr->hwrn", kernel, into, optimize=True)), rank_out)
    core = np.einsum("hwcn,cr->hwrn", kernel @ out, into, optimize=True)
    return into[None, None], core, out.T[None, None]


def cp(kernel: Kernel, rank: int, sweeps: int) -> tuple[Kernel, Kernel, Kernel, Kernel]:
    """1x1 to `rank` channels, a column and a row for each channel by itself, 1x1 to the outputs.

    Alternating least squares from `_cp_start`, at most `sweeps` rounds. Columns and rows are kernels of depthwise
    convolutions, (height, 1, rank, 1) and (1, width, rank, 1).
    Source: Lebedev et al., arXiv:1412.6553, section 3, who fit by non-linear least squares.
    """
    size = float((kernel**2).sum())
    rows, columns, inputs, outputs = _cp_start(kernel, rank)
    flat = kernel.reshape(-1, kernel.shape[3])
    error = np.inf
    for _ in range(sweeps):
        folded = kernel @ outputs
        rows = _solved(np.einsum("hwcr,wr,cr->hr", folded, columns, inputs, optimize=True), columns, inputs, outputs)
        columns = _solved(np.einsum("hwcr,hr,cr->wr", folded, rows, inputs, optimize=True), rows, inputs, outputs)
        inputs = _solved(np.einsum("hwcr,hr,wr->cr", folded, rows, columns, optimize=True), rows, columns, outputs)
        product = np.einsum("hr,wr,cr->hwcr", rows, columns, inputs).reshape(len(flat), -1)
        outputs = _solved(flat.T @ product, rows, columns, inputs)
        rows, columns, inputs, outputs = _balanced(rows, columns, inputs, outputs)
        before, error = error, float(((flat - _cp_matrix(rows, columns, inputs) @ outputs.T) ** 2).sum())
        if before - error <= SETTLED * size:
            break
    return inputs[None, None], rows[:, None, :, None], columns[None, :, :, None], outputs.T[None, None]


def merged(vertical: Kernel, horizontal: Kernel) -> Kernel:
    """One depthwise kernel (height, width, channels, 1) that does what a column and then a row do."""
    return vertical * horizontal


def composed(chain: Sequence[tuple[Kernel, bool]]) -> Kernel:
    """The kernel of a whole chain of (kernel, whether it is depthwise): what one layer in its place would have.

    In each direction one link at most may be longer than one cell.
    """
    kernels = [_diagonal(kernel) if depthwise else kernel for kernel, depthwise in chain]
    whole = kernels[0]
    for kernel in kernels[1:]:
        height, width = whole.shape[0] * kernel.shape[0], whole.shape[1] * kernel.shape[1]
        both = np.einsum("ijcr,klrn->ikjlcn", whole, kernel, optimize=True)
        whole = both.reshape(height, width, whole.shape[2], kernel.shape[3])
    return whole


def relative_error(kernel: Kernel, approximation: Kernel) -> float:
    """The norm of the difference as a share of the kernel's own."""
    return float(np.linalg.norm(kernel - approximation) / max(float(np.linalg.norm(kernel)), 1e-30))


def _leading(matrix: np.ndarray, rank: int) -> np.ndarray:
    """The `rank` leading left singular vectors, (rows, rank); beyond the matrix' own rank any that complete them."""
    vectors = np.linalg.eigh(matrix @ matrix.T)[1]
    return vectors[:, ::-1][:, :rank]


def _diagonal(kernel: Kernel) -> Kernel:
    """A depthwise kernel as a full one that reads every channel's own alone."""
    return kernel * np.eye(kernel.shape[2])


def _cp_start(kernel: Kernel, rank: int) -> tuple[np.ndarray, ...]:
    """The `rank` heaviest terms of a decomposition in two levels: the pair of directions, then each side by itself.

    With all its terms, min(height, inputs) x min(width, outputs) for each singular value of the pair, it is exact.
    """
    height, width, inputs, outputs = kernel.shape
    left, values, right = np.linalg.svd(by_direction(kernel), full_matrices=False)
    tall, tall_values, into = np.linalg.svd(left.T.reshape(-1, height, inputs), full_matrices=False)
    wide, wide_values, out = np.linalg.svd(right.reshape(-1, width, outputs), full_matrices=False)
    weights = values[:, None, None] * tall_values[:, :, None] * wide_values[:, None, :]
    chosen = np.argsort(-weights, axis=None, kind="stable")[:rank]
    pair, one, other = np.unravel_index(chosen, weights.shape)
    scale = weights.reshape(-1)[chosen] ** 0.25
    return (
        tall[pair, :, one].T * scale, wide[pair, :, other].T * scale, into[pair, one].T * scale,
        out[pair, other].T * scale,
    )  # fmt: skip


def _cp_matrix(rows: np.ndarray, columns: np.ndarray, inputs: np.ndarray) -> np.ndarray:
    """What the outputs are mixed from, (height x width x inputs, rank)."""
    product: np.ndarray = np.einsum("hr,wr,cr->hwcr", rows, columns, inputs)
    return product.reshape(-1, product.shape[-1])


def _solved(target: np.ndarray, *others: np.ndarray) -> np.ndarray:
    """The least-squares factor (length, rank) when all others are held."""
    gram = np.ones((target.shape[1], target.shape[1]))
    for factor in others:
        gram = gram * (factor.T @ factor)
    gram[np.diag_indices_from(gram)] += RIDGE * np.trace(gram) / len(gram) + 1e-30
    return np.linalg.solve(gram, target.T).T


def _balanced(*factors: np.ndarray) -> tuple[np.ndarray, ...]:
    """The same product with columns of equal norm in all factors."""
    norms = [np.maximum(np.linalg.norm(factor, axis=0), 1e-30) for factor in factors]
    scale = np.prod(norms, axis=0) ** (1 / len(factors))
    return tuple(factor / norm * scale for factor, norm in zip(factors, norms, strict=True))
