"""ONNX graphs, written operator by operator.

Such a graph holds nothing but what is computed, and the same policy gives the same bytes.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robo_al.errors import UserError

OPSET, IR_VERSION = 17, 8
"""Versions of the format that any onnxruntime from 1.13 on reads."""


class Graph:
    """Operators, in the order in which they were added.

    Raises:
        UserError: the package onnx is not installed.
    """

    def __init__(self) -> None:
        try:
            import onnx
        except ImportError:
            raise UserError("a policy as ONNX needs the package onnx: pip install onnx") from None
        self._onnx = onnx
        self._nodes: list[Any] = []
        self._constants: list[Any] = []

    def constant(self, values: NDArray[Any]) -> str:
        """Add a constant, float32 unless it is of integers; return its name."""
        name = f"constant_{len(self._constants)}"
        kind = np.int64 if values.dtype.kind == "i" else np.float32
        array = np.ascontiguousarray(values, dtype=kind).reshape(values.shape)
        self._constants.append(self._onnx.numpy_helper.from_array(array, name))
        return name

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Add an operator; return the name of its output."""
        name = f"{operator.lower()}_{len(self._nodes)}"
        node = self._onnx.helper.make_node(operator, list(inputs), [name], **attributes)
        self._nodes.append(node)
        return name

    def dense(self, x: str, weights: NDArray[Any], bias: NDArray[Any]) -> str:
        """Add weights [out,in] times x [batch,in] plus bias."""
        return self.add("Gemm", x, self.constant(weights), self.constant(bias), transB=1)

    def features(self, observation: str, linear: Sequence[int], angles: Sequence[int]) -> str:
        """Add what a network sees: linear channels, then sines and cosines of the angles."""
        if not angles:
            return observation
        turned = [self.add(name, self._gather(observation, angles)) for name in ("Sin", "Cos")]
        plain = [self._gather(observation, linear)] if linear else []
        return self.add("Concat", *plain, *turned, axis=1)

    def scaled(self, x: str, low: NDArray[Any], high: NDArray[Any]) -> str:
        """Add what brings actions from -1 to 1 to a task's limits."""
        wide = self.add("Mul", x, self.constant((high - low) / 2))
        return self.add("Add", wide, self.constant((high + low) / 2))

    def _gather(self, x: str, columns: Sequence[int]) -> str:
        return self.add("Gather", x, self.constant(np.array(columns, np.int64)), axis=1)

    def rename(self, last: str, name: str) -> None:
        """Give the last operator's output the name of the graph's."""
        assert self._nodes[-1].output[0] == last
        self._nodes[-1].output[0] = name

    def content(
        self,
        inputs: Mapping[str, Sequence[str | int]],
        outputs: Mapping[str, Sequence[str | int]],
    ) -> bytes:
        """Check the graph, and return it as the content of a file."""
        onnx, helper = self._onnx, self._onnx.helper
        ports = [
            [
                helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, list(shape))
                for name, shape in side.items()
            ]
            for side in (inputs, outputs)
        ]
        graph = helper.make_graph(self._nodes, "policy", *ports, self._constants)
        opset = helper.make_opsetid("", OPSET)
        model = helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION)
        onnx.checker.check_model(model, full_check=True)
        content: bytes = model.SerializeToString()
        return content
