from __future__ import annotations

import json

import numpy as np
import pytest

from exports import Artifact, evaluate, score


def test_scores_count_by_hand():
    logits = np.array([[2, 1, 0], [0, 3, 1], [0, 1, 2], [5, 0, 0]], np.float32)
    result = score(logits, np.array([0, 1, 1, 0]), ("a", "b", "c"), kernels="xnnpack")
    assert (result.n, result.correct, result.top1) == (4, 3, 0.75)
    assert result.confusion == ((2, 0, 0), (0, 1, 1), (0, 0, 0))
    assert [(c.label, c.n, c.correct, c.accuracy) for c in result.per_class] == [
        ("a", 2, 2, 1.0), ("b", 2, 1, 0.5), ("c", 0, 0, None),
    ]
    assert result.predictions.tolist() == [0, 1, 2, 0]
    assert result.interval[0] < 0.75 < result.interval[1]


def test_wrong_labels_are_refused():
    logits = np.zeros((2, 3), np.float32)
    with pytest.raises(ValueError, match=r"classes 0\.\.2"):
        score(logits, np.array([0, 3]), ("a", "b", "c"), kernels="xnnpack")
    with pytest.raises(ValueError, match="expected"):
        score(logits, np.array([0]), ("a", "b", "c"), kernels="xnnpack")


@pytest.mark.parametrize("format_id", ["tflite_float32", "tflite_int8", "onnx_float32"])
def test_a_written_file_is_as_right_as_its_model(format_id: str, digits, artifacts: dict[str, Artifact]):
    artifact = artifacts[format_id]
    result = evaluate(artifact.path, artifact.contract, digits.images, digits.labels)
    model = (digits.logits.argmax(axis=1) == digits.labels).mean()
    assert result.top1 == pytest.approx(model, abs=0.02)
    assert result.kernels == ("onnxruntime" if format_id == "onnx_float32" else "xnnpack")
    assert np.trace(np.array(result.confusion)) == result.correct
    assert json.loads(json.dumps(result.as_dict()))["n"] == len(digits.labels)


def test_one_label_per_image_is_needed(digits, artifacts: dict[str, Artifact]):
    artifact = artifacts["tflite_int8"]
    with pytest.raises(ValueError, match="one label per image"):
        evaluate(artifact.path, artifact.contract, digits.images, digits.labels[:-1])
