"""A zip to hand over: files, contracts, labels, self-test vectors, and samples: `classify.py`, `Classifier.kt`.

The zip is the same bytes for the same members: fixed dates, fixed order, fixed permissions.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from exports.contract import RESIZE_KERNELS, Contract, contract_path, selftest_path
from exports.writers.android import classifier_kt

DATE = (1980, 1, 1, 0, 0, 0)

HEAD = """\
\"\"\"python classify.py [photo.png]: its label (needs Pillow); without one the self-test. Needs {packages}.\"\"\"
import json, pathlib, sys
import numpy as np
{runtime}
if sys.argv[1:] in (["-h"], ["--help"]): sys.exit(print(__doc__))
here = pathlib.Path(__file__).parent
c = json.loads((here / "{contract}").read_text("utf-8")); i = c["input"]
{run}
if len(sys.argv) == 1:
    with np.load(here / "{selftest}") as test: pairs = list(zip(test["input"], test["output"]))
    good = [answer(raw[None]).argmax() == wanted.argmax() for raw, wanted in pairs]
    sys.exit(print(f"self-test: {{sum(good)}} of {{len(good)}} as expected") or not all(good))
try: from PIL import Image, ImageOps; image = ImageOps.exif_transpose(Image.open(sys.argv[1])).convert("{mode}")
except (ImportError, OSError) as error: sys.exit(f"{{sys.argv[1]}}: {{error}}; photos need Pillow: pip install pillow")
image = image.resize((i["width"], i["height"]), Image.Resampling.{kernel})
pixels = np.asarray(image, np.float32).reshape(1, i["height"], i["width"], i["channels"])
raw = pixels * i["pixel_scale"] + i.get("pixel_offset", 0)
if i["scale"]: raw = np.rint(raw / i["scale"]) + i["zero_point"]
print(c["labels"][int(answer(raw.astype(i["dtype"])).argmax())])
"""

# family -> packages, import, and the lines that run the file on one input
RUNTIMES = {
    "tflite": (
        "numpy, ai-edge-litert",
        "from ai_edge_litert.interpreter import Interpreter",
        """\
net = Interpreter(str(here / "{model}")); net.allocate_tensors()
def answer(raw):
    net.set_tensor(net.get_input_details()[0]["index"], raw); net.invoke()
    return net.get_tensor(net.get_output_details()[0]["index"])[0]""",
    ),
    "onnx": (
        "numpy, onnxruntime",
        "import onnxruntime",
        """\
def opened(exact):
    how = onnxruntime.SessionOptions(); how.add_session_config_entry("session.x64quantprecision", exact)
    return onnxruntime.InferenceSession(str(here / "{model}"), how, providers=["CPUExecutionProvider"])
try: net = opened("1")  # int8 without overflow on x86 processors without VNNI
except Exception: net = opened("0")  # refused where layers share constants
answer = lambda raw: net.run(None, {{i["name"]: raw}})[0][0]""",
    ),
}


def write_bundle(
    members: list[tuple[Path, Contract]], path: Path, further: Mapping[str, bytes] = MappingProxyType({})
) -> None:
    """Zip the `members` (artifact, contract), everything beside them and the sample for the first one to `path`.

    `further` are files by name that go in as they are.

    Raises:
        ValueError: there is no member.
    """
    if not members:
        raise ValueError("a bundle needs at least one written file")
    entries: dict[str, bytes] = dict(further)
    for artifact, contract in members:
        entries[artifact.name] = artifact.read_bytes()
        for beside in (contract_path(artifact), selftest_path(artifact)):
            if beside.is_file():
                entries[beside.name] = beside.read_bytes()
        entries["labels.txt"] = "".join(f"{label}\n" for label in contract.labels).encode()
    entries["classify.py"] = sample(*members[0]).encode()
    tflite = [(artifact, contract) for artifact, contract in members if contract.family == "tflite"]
    if tflite:
        entries["Classifier.kt"] = classifier_kt(*tflite[0]).encode()
    entries["time_files.py"] = Path(__file__).with_name("time_files.py").read_bytes()
    listing = [{"file": artifact.name, "format": contract.format, "sha256": contract.sha256}
               for artifact, contract in members]
    entries["bundle.json"] = (json.dumps({"files": listing}, indent=2) + "\n").encode()
    with zipfile.ZipFile(path, "w") as bundle:
        for name in sorted(entries):
            entry = zipfile.ZipInfo(name, DATE)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            bundle.writestr(entry, entries[name], compresslevel=9)


def sample(artifact: Path, contract: Contract) -> str:
    """The Python text of `classify.py` for one file."""
    packages, runtime, run = RUNTIMES[contract.family]
    return HEAD.format(
        packages=packages,
        runtime=runtime,
        contract=contract_path(artifact).name,
        run=run.format(model=artifact.name),
        selftest=selftest_path(artifact).name,
        mode="L" if contract.input.channels == 1 else "RGB",
        kernel=RESIZE_KERNELS[contract.input.resize],
    )
