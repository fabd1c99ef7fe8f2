"""The oracle of a robot behind a `robo-al-agent`, near or far.

    oracle       the contract of an oracle: what a campaign calls
    meeting      the first words with the agent: which robot it is, and whether it is ready
    embodiment   the task on this robot: what actions command, what is observed of samples
    codec        candidates to requests, results to outcomes; no socket, no thread, no clock
    stream       a policy at the host that answers the samples of a rollout, in a thread
    standing     where an idle robot stands, for starts that are found
    waiting      what keeps the robot from executing, in words
    refusals     what of the envelope refuses a candidate, and what to do about it
    measures     what the agent measured beside what the task observes

All but `oracle`, `meeting` and `stream` need neither a socket nor a thread.
"""

from robo_al.oracles.robot.oracle import RobotOracle

__all__ = ["RobotOracle"]
