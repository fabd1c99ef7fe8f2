"""A feedback policy that travelled as ONNX: numbers and operators, no code of anybody's."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from robo_al_agent.errors import SetupError, WireError
from robo_al_agent.robot import Array, Options, RobotSpec, Sample

INPUTS = ("positions", "velocities", "efforts", "sensors", "targets")
"""What a graph may ask for; a start's options by their name, after `start.`."""


class OnnxPolicy:
    """Runs a graph once a step: inputs [1, n] float32, output `command` [1, J].

    Args:
        graph: the bytes of an ONNX model.
        spec: of the robot.
        start: the options of the rollout's start.

    Raises:
        SetupError: onnxruntime is not installed here.
        WireError: the graph is none, or its inputs or output do not fit.
    """

    def __init__(self, graph: NDArray[np.uint8], spec: RobotSpec, start: Options) -> None:
        try:
            import onnxruntime
        except ImportError:
            raise SetupError(
                "a policy as ONNX needs onnxruntime at the agent: pip install 'robo-al-agent[onnx]'"
            ) from None
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 4
        try:
            self._session = onnxruntime.InferenceSession(
                graph.tobytes(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            raise WireError(f"submit: the policy is no ONNX graph: {str(error)[:200]}") from None
        self._joints = len(spec.joints)
        self._fixed = {
            f"start.{name}": np.array([values], np.float32) for name, values in start.items()
        }
        self._names = [item.name for item in self._session.get_inputs()]
        unknown = [name for name in self._names if name not in INPUTS and name not in self._fixed]
        if unknown:
            raise WireError(
                f"submit: the policy asks for {', '.join(unknown)}; there are "
                f"{', '.join([*INPUTS, *self._fixed])}"
            )
        if [item.name for item in self._session.get_outputs()] != ["command"]:
            raise WireError("submit: the policy's only output must be called `command`")
        zeros = np.zeros(self._joints)
        self.act(Sample(0, 0, zeros, zeros, zeros, np.zeros(len(spec.sensors))), zeros)

    def act(self, sample: Sample, target: Array) -> Array:
        """Return the command [J] for a sample, given the last command.

        Raises:
            WireError: the graph answers with another shape, or not at all.
        """
        known: dict[str, Any] = {
            "positions": sample.positions,
            "velocities": sample.velocities,
            "efforts": sample.efforts,
            "sensors": sample.sensors,
            "targets": target,
        }
        values = {
            name: self._fixed[name]
            if name in self._fixed
            else np.asarray(known[name], np.float32)[None]
            for name in self._names
        }
        try:
            (command,) = self._session.run(["command"], values)
        except Exception as error:
            raise WireError(f"the policy cannot be run: {str(error)[:200]}") from None
        if np.shape(command) != (1, self._joints):
            raise WireError(f"the policy answers with shape {np.shape(command)}")
        return np.asarray(command[0], np.float64)
