"""python time_files.py [times.json]: times the files beside it in turn, on this device. Needs numpy and the runtime.

Goes into every bundle and knows nothing of the program that wrote it. Copy the bundle's folder to the device (scp, adb
push, a memory card), run this there, and bring times.json back: python -m pipelines device-times times.json
"""

import json
import os
import pathlib
import platform
import statistics
import sys
import time

import numpy as np

HERE = pathlib.Path(__file__).parent
ROUNDS, SAMPLES, WARM_UPS, SAMPLE_S, LONG_SAMPLE_S = 12, 15, 20, 0.001, 0.01


def opened(path, contract):
    """A function that runs the file once."""
    image = contract["input"]
    shape = (1, image["height"], image["width"], image["channels"])
    noise = np.random.default_rng(0).integers(0, 256, shape)
    values = noise * image["pixel_scale"] + image.get("pixel_offset", 0)
    if image["scale"]:
        values = np.clip(np.rint(values / image["scale"]) + image["zero_point"], *limits(image["dtype"]))
    values = values.astype(image["dtype"])
    if path.suffix == ".onnx":
        try:
            net = onnx_session(path, "1")  # int8 without overflow on x86 processors without VNNI
        except Exception:  # refused where layers share constants
            net = onnx_session(path, "0")
        name = net.get_inputs()[0].name
        return lambda: net.run(None, {name: values})
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        from tflite_runtime.interpreter import Interpreter  # older boards have this one
    net = Interpreter(str(path), num_threads=1)
    net.allocate_tensors()
    net.set_tensor(net.get_input_details()[0]["index"], values)
    return net.invoke


def onnx_session(path, exact):
    """A session on one thread; `exact` is the value of ONNX Runtime's option for int8 on x86."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.x64quantprecision", exact)
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def limits(dtype):
    """The ends of an integer type."""
    return np.iinfo(dtype).min, np.iinfo(dtype).max


def seconds_of(call):
    """Seconds of a call, after warming up."""
    seconds = []
    for _ in range(WARM_UPS):
        before = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - before)
    return statistics.median(seconds[WARM_UPS // 2 :])


def processor():
    """The processor in words, as the system tells."""
    for name, word in (("/proc/cpuinfo", "model name"), ("/proc/cpuinfo", "Hardware"), ("/proc/device-tree/model", "")):
        try:
            lines = pathlib.Path(name).read_text("utf-8", "replace").splitlines()
        except OSError:
            continue
        found = [line.split(":", 1)[-1].strip(" \t\0") for line in lines if line.startswith(word)]
        if found:
            return found[0]
    return platform.processor() or platform.machine()


def main():
    """Times all files that this device can open, and writes what came out."""
    target = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "times.json")
    calls, rows = [], []
    for row in json.loads((HERE / "bundle.json").read_text("utf-8"))["files"]:
        path = HERE / row["file"]
        contract = json.loads((HERE / (path.name[: -len(path.suffix)] + ".contract.json")).read_text("utf-8"))
        try:
            calls.append(opened(path, contract))
        except Exception as error:  # a device that lacks one runtime can still time the other files
            print(f"left out {path.name}: {type(error).__name__}: {error}", file=sys.stderr)
            continue
        rows.append({"file": row["file"], "format": row["format"], "sha256": row["sha256"], "round_ms": []})
    if not rows:
        sys.exit("no file of this bundle runs here")
    seconds = [seconds_of(call) for call in calls]
    # All as often as the fastest needs for a sample that a clock can see, slow ones less: the first call after another
    # file's is slow, and would weigh more where there are fewer.
    most = int(np.ceil(SAMPLE_S / min(seconds)))
    repeats = [max(1, min(most, int(LONG_SAMPLE_S / one))) for one in seconds]
    for number in range(ROUNDS):
        samples: list = [[] for _ in calls]
        for turn in range(SAMPLES):
            order = range(len(calls)) if (turn + number) % 2 else range(len(calls) - 1, -1, -1)
            for at in order:
                before = time.perf_counter()
                for _ in range(repeats[at]):
                    calls[at]()
                samples[at].append((time.perf_counter() - before) / repeats[at] * 1e3)
        for row, times in zip(rows, samples):  # noqa: B905 - old devices have old Pythons
            row["round_ms"].append(statistics.median(times))
        print(f"round {number + 1} of {ROUNDS}", file=sys.stderr)
    machine = {"cpu": processor(), "cores": os.cpu_count(), "threads": 1, "system": platform.platform(),
               "python": platform.python_version()}  # fmt: skip
    target.write_text(json.dumps({"version": 1, "machine": machine, "rows": rows}, indent=1), "utf-8")
    for row in rows:
        print(f"{statistics.median(row['round_ms']):10.3f} ms  {row['file']}")
    print(f"wrote {target}")


if __name__ == "__main__":
    main()
