from __future__ import annotations

import subprocess
import sys

import pytest

from exports import FORMATS, LIMITS, format_named
from exports.writers import WRITERS


def test_every_format_has_a_writer_and_limits_except_the_bundle_of_others():
    assert set(WRITERS) == set(FORMATS) - {"bundle", "c_array"}
    assert set(LIMITS) == set(FORMATS) - {"bundle", "c_array"}


@pytest.mark.parametrize("format_id", FORMATS)
def test_a_format_says_in_one_line_when_to_use_it(format_id: str):
    described = FORMATS[format_id]
    assert described.id == format_id
    assert described.title
    assert 30 < len(described.when) < 220
    assert "\n" not in described.when
    assert set(described.as_dict()) == {"id", "title", "when", "suffix", "family"}


def test_an_unknown_format_offers_the_nearest_names():
    with pytest.raises(ValueError, match=r"tflite_int8"):
        format_named("tflite_int9")


def test_importing_the_room_imports_neither_tensorflow_nor_a_runtime():
    heavy = "{'tensorflow', 'tf_keras', 'tf2onnx', 'onnx', 'onnxruntime', 'ai_edge_litert', 'scipy'}"
    code = f"import sys, exports, exports.writers; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
