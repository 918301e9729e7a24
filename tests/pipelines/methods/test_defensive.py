import numpy as np
import pytest

from pipelines.methods.defensive import stretches, unevenness
from pipelines.training import session
from tests.pipelines.small import network, shaped


@pytest.mark.parametrize("shape", [(3, 3, 4, 8), (1, 1, 4, 12), (5, 5)])
def test_penalty_is_the_distance_of_the_smaller_gram_matrix_from_the_identity(shape):
    kernel = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    matrix = kernel.reshape(-1, shape[-1])
    gram = min(matrix.T @ matrix, matrix @ matrix.T, key=len)
    assert float(unevenness([kernel])) == pytest.approx(float(((gram - np.eye(len(gram))) ** 2).sum()), rel=1e-5)


@pytest.mark.parametrize("shape", [(3, 3, 4, 8), (1, 1, 4, 12)])
def test_orthonormal_kernels_cost_nothing(shape):
    rows, columns = int(np.prod(shape[:-1])), shape[-1]
    square, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(max(rows, columns),) * 2))
    kernel = square[:rows, :columns].reshape(shape).astype(np.float32)
    assert float(unevenness([kernel])) == pytest.approx(0, abs=1e-4)


def test_kernels_stretch_less_than_after_plain_training(small_digits):
    session.open_session(0)
    model = network()
    changes = {"epochs": 6, "shift": 0.0, "learning_rate": 5e-3}
    plain, leaning = (
        shaped("defensive", model, small_digits, **changes, penalty=penalty) for penalty in (0.0, 0.02)
    )
    assert leaning.report["largest_stretch_after"] < plain.report["largest_stretch_after"]
    ends = [max(stretches([layer for layer in one.model.layers if hasattr(layer, "kernel")]).values())
            for one in (plain, leaning)]  # fmt: skip
    assert ends == pytest.approx([one.report["largest_stretch_after"] for one in (plain, leaning)])
