"""A zip to hand over: files, contracts, labels, self-test vectors, and `classify.py`, a sample of about ten lines.

The zip is the same bytes for the same members: fixed dates, fixed order, fixed permissions.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

from exports.contract import RESIZE_KERNELS, Contract, contract_path, selftest_path

DATE = (1980, 1, 1, 0, 0, 0)

LITERT = """\
\"\"\"python classify.py photo.png  ->  the label (needs: pip install pillow numpy ai-edge-litert)\"\"\"
import json, pathlib, sys
import numpy as np
from PIL import Image, ImageOps
from ai_edge_litert.interpreter import Interpreter
here = pathlib.Path(__file__).parent
c = json.loads((here / "{contract}").read_text("utf-8")); i = c["input"]
image = ImageOps.exif_transpose(Image.open(sys.argv[1])).convert("{mode}")
image = image.resize((i["width"], i["height"]), Image.Resampling.{kernel})
raw = np.asarray(image, np.float32).reshape(1, i["height"], i["width"], i["channels"]) * i["pixel_scale"]
if i["scale"]: raw = np.rint(raw / i["scale"]) + i["zero_point"]
net = Interpreter(str(here / "{model}")); net.allocate_tensors()
net.set_tensor(net.get_input_details()[0]["index"], raw.astype(i["dtype"])); net.invoke()
print(c["labels"][int(net.get_tensor(net.get_output_details()[0]["index"])[0].argmax())])
"""

ONNX = """\
\"\"\"python classify.py photo.png  ->  the label (needs: pip install pillow numpy onnxruntime)\"\"\"
import json, pathlib, sys
import numpy as np, onnxruntime
from PIL import Image, ImageOps
here = pathlib.Path(__file__).parent
c = json.loads((here / "{contract}").read_text("utf-8")); i = c["input"]
image = ImageOps.exif_transpose(Image.open(sys.argv[1])).convert("{mode}")
image = image.resize((i["width"], i["height"]), Image.Resampling.{kernel})
raw = np.asarray(image, np.float32).reshape(1, i["height"], i["width"], i["channels"])
net = onnxruntime.InferenceSession(str(here / "{model}"), providers=["CPUExecutionProvider"])
print(c["labels"][int(net.run(None, {{"image": raw}})[0][0].argmax())])
"""


def write_bundle(members: list[tuple[Path, Contract]], path: Path) -> None:
    """Zip the `members` (artifact, contract), everything beside them and the sample for the first one to `path`.

    Raises:
        ValueError: there is no member.
    """
    if not members:
        raise ValueError("a bundle needs at least one written file")
    entries: dict[str, bytes] = {}
    for artifact, contract in members:
        entries[artifact.name] = artifact.read_bytes()
        for beside in (contract_path(artifact), selftest_path(artifact)):
            if beside.is_file():
                entries[beside.name] = beside.read_bytes()
        entries["labels.txt"] = "".join(f"{label}\n" for label in contract.labels).encode()
    entries["classify.py"] = sample(*members[0]).encode()
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
    template = ONNX if contract.family == "onnx" else LITERT
    return template.format(
        contract=contract_path(artifact).name,
        model=artifact.name,
        mode="L" if contract.input.channels == 1 else "RGB",
        kernel=RESIZE_KERNELS[contract.input.resize],
    )
