"""C++ sources for a microcontroller: the int8 file as an array, the operators to register, and a self-test.

`selftest.cc` needs nothing but these sources and any C++17 compiler, so it can be run on the person's computer before
a board is flashed: it proves that the bytes survived every editor, checkout and build step on the way. On the board
the same test vector tells whether the runtime gives the answers that the reference kernels gave here.
"""

from __future__ import annotations

import re
import string
import zlib
from pathlib import Path

import numpy as np

from exports.contract import Contract, selftest_path
from exports.mcu_fit import fit_mcu

PER_LINE = 20
PLAIN = frozenset(b" _-.()" + string.ascii_letters.encode() + string.digits.encode())
ARRAY = re.compile(rb"kModel\[kModelBytes\] = \{([^}]*)\};")

HEADER = """\
// {name}: an image classifier as bytes, written by Litesmith. Do not edit.
#pragma once
#include <cstddef>
#include <cstdint>

namespace litesmith {{

constexpr std::size_t kModelBytes = {bytes};
constexpr std::uint32_t kModelCrc32 = 0x{crc:08x};
extern const unsigned char kModel[kModelBytes];  // aligned to 16 bytes, as the runtime wants it

// Pixels are 0..255; what the input tensor wants is round(pixel * {pixel_scale} / kInputScale) + kInputZeroPoint.
constexpr int kHeight = {height}, kWidth = {width}, kChannels = {channels}, kClasses = {classes};
constexpr float kInputScale = {input_scale}f, kOutputScale = {output_scale}f;
constexpr int kInputZeroPoint = {input_zero}, kOutputZeroPoint = {output_zero};
extern const char* const kLabels[kClasses];

// What the arena has to hold at least, counted from the file; scratch memory of single kernels comes on top.
constexpr std::size_t kArenaBytesAtLeast = {arena};

// {tests} images and what the reference kernels answered.
constexpr int kTests = {tests};
extern const signed char kTestInput[kTests][kHeight * kWidth * kChannels];
extern const signed char kTestOutput[kTests][kClasses];

}}  // namespace litesmith
"""

DATA = """\
#include "model_data.h"

namespace litesmith {{

alignas(16) const unsigned char kModel[kModelBytes] = {{
{model}
}};

const char* const kLabels[kClasses] = {{
{labels}
}};

const signed char kTestInput[kTests][kHeight * kWidth * kChannels] = {{
{inputs}
}};

const signed char kTestOutput[kTests][kClasses] = {{
{outputs}
}};

}}  // namespace litesmith
"""

OPERATORS = """\
// The operators of {name}, and no others: each costs flash. For TensorFlow Lite Micro.
#pragma once
#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"

namespace litesmith {{

using Operators = tflite::MicroMutableOpResolver<{count}>;

inline TfLiteStatus Register(Operators& operators) {{
{calls}
  return kTfLiteOk;
}}

}}  // namespace litesmith
"""

SELFTEST = """\
// c++ -std=c++17 model_data.cc selftest.cc -o selftest && ./selftest
#include <cstdio>
#include <cstring>

#include "model_data.h"

namespace {

std::uint32_t Crc32(const unsigned char* data, std::size_t size) {
  std::uint32_t crc = 0xffffffffu;
  for (std::size_t at = 0; at < size; ++at) {
    crc ^= data[at];
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ (0xedb88320u & (0u - (crc & 1u)));
  }
  return ~crc;
}

}  // namespace

int main() {
  using namespace litesmith;
  if (reinterpret_cast<std::uintptr_t>(kModel) % 16 != 0) return std::puts("FAILED: the model is not aligned"), 1;
  if (std::memcmp(kModel + 4, "TFL3", 4) != 0) return std::puts("FAILED: the bytes are no TFLite file"), 2;
  const std::uint32_t crc = Crc32(kModel, kModelBytes);
  if (crc != kModelCrc32) {
    std::printf("FAILED: the bytes changed, CRC-32 %08lx instead of %08lx\\n", static_cast<unsigned long>(crc),
                static_cast<unsigned long>(kModelCrc32));
    return 3;
  }
  for (int test = 0; test < kTests; ++test) {
    int best = 0;
    for (int one = 1; one < kClasses; ++one) {
      if (kTestOutput[test][one] > kTestOutput[test][best]) best = one;
    }
    std::printf("test image %d: the board must answer %s\\n", test, kLabels[best]);
  }
  std::printf("ok: %zu bytes, CRC-32 %08lx\\n", kModelBytes, static_cast<unsigned long>(crc));
  return 0;
}
"""


def sources(artifact: Path, contract: Contract) -> dict[str, bytes]:
    """File name -> content of the C++ sources for the int8 file at `artifact`, its self-test vector beside it."""
    needs = fit_mcu(artifact, ())
    model = artifact.read_bytes()
    with np.load(selftest_path(artifact)) as stored:
        inputs, outputs = stored["input"], stored["output"]
    image, answer = contract.input, contract.output
    header = HEADER.format(
        name=artifact.name, bytes=len(model), crc=zlib.crc32(model), pixel_scale=f"{image.pixel_scale:.9g}",
        height=image.height, width=image.width, channels=image.channels, classes=answer.classes,
        input_scale=_float(image.scale), output_scale=_float(answer.scale), input_zero=image.zero_point or 0,
        output_zero=answer.zero_point or 0, arena=needs["arena_bytes"], tests=len(inputs),
    )  # fmt: skip
    data = DATA.format(
        model=_numbers(model),
        labels=",\n".join(f"    {_literal(label)}" for label in contract.labels),
        inputs=",\n".join(f"{{{_numbers(one.ravel().tolist())}}}" for one in inputs),
        outputs=",\n".join(f"{{{_numbers(one.ravel().tolist())}}}" for one in outputs),
    )
    calls = "\n".join(
        f"  if (operators.{one['register']}() != kTfLiteOk) return kTfLiteError;" for one in needs["operators"]
    )
    operators = OPERATORS.format(name=artifact.name, count=len(needs["operators"]), calls=calls)
    texts = {
        "model_data.h": header, "model_data.cc": data, "model_operators.h": operators, "selftest.cc": SELFTEST,
    }  # fmt: skip
    return {name: text.encode("ascii") for name, text in texts.items()}


def bytes_of(source: bytes) -> bytes:
    """The model back from the text of `model_data.cc`. Raises: ValueError when there is no array of bytes in it."""
    found = ARRAY.search(source)
    if found is None:
        raise ValueError("model_data.cc holds no array of the model")
    return bytes(int(one) for one in found[1].replace(b"\n", b" ").split(b",") if one.strip())


def _numbers(values: bytes | list[int]) -> str:
    return ",\n".join(
        ",".join(str(one) for one in values[at : at + PER_LINE]) for at in range(0, len(values), PER_LINE)
    )


def _float(value: float | None) -> str:
    text = f"{1.0 if value is None else value:.9g}"
    return text if "." in text or "e" in text else f"{text}.0"


def _literal(label: str) -> str:
    """A C string of any label: what is not plain goes in as octal bytes of UTF-8, which no compiler misreads."""
    return '"' + "".join(chr(one) if one in PLAIN else f"\\{one:03o}" for one in label.encode()) + '"'
