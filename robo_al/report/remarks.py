"""What events of a run mean, in sentences."""

from robo_al.dataset.events import (
    Decided,
    Diverged,
    EvaluationFailed,
    Event,
    Explored,
    Indeterminate,
    Lengthened,
    ModelFailed,
    Noted,
    NotEvaluated,
    Quarantined,
    TakenBack,
    Waiting,
    Withheld,
    WorseModel,
)
from robo_al.report.words import count


def remark(event: Event) -> str:
    """Return what an event that a person should know of means, in a sentence."""
    match event:
        case Noted(text) | Waiting(text):
            pass
        case Quarantined(what, reason):
            text = f"{what} is quarantined, and nothing is learned from it: {reason}"
        case TakenBack(rollout):
            text = f"{rollout} is taken back: its file is what was written again"
        case Decided(decision):
            done = "done" if decision.refused is None else f"refused: {decision.refused}"
            text = f"{decision.rollout} was decided, {decision.choice}: {done}"
        case EvaluationFailed(in_round, reasons):
            told = "; ".join(f"{name} {reason}" for name, reason in reasons.items())
            text = f"round {in_round}: its evaluation failed: {told}"
        case Indeterminate(rollouts):
            text = f"nobody knows whether {', '.join(rollouts)} ran; nothing of it is run again"
        case Diverged(rollout):
            text = (
                f"rollout {rollout} was executed again and went differently; the first record is "
                "kept"
            )
        case Explored(in_round, rollouts, reason):
            proposed = count(rollouts, "rollout")
            text = f"round {in_round}: the explorer proposed {proposed}: {reason}"
        case Withheld(in_round, rollouts):
            kept = count(rollouts, "rollout")
            text = f"round {in_round}: {kept} less than asked for, because of cost or constraint"
        case Lengthened() | ModelFailed() | WorseModel() | NotEvaluated():
            text = f"round {event.round}: {_of_what_was_learned(event)}"
        case _:
            text = str(event)
    return text


def _of_what_was_learned(event: Lengthened | ModelFailed | WorseModel | NotEvaluated) -> str:
    """Return what an event of the model, or of how much rollouts tell it, means."""
    match event:
        case Lengthened(steps=steps, candidates=candidates):
            return (
                "a rollout that lasted to its end told little, so rollouts have "
                f"{count(steps, 'step')} from now on, chosen from {count(candidates, 'candidate')}"
            )
        case ModelFailed(reason=reason):
            return f"the model could not be retrained, so the last one stays: {reason}"
        case WorseModel():
            return "on held-out rollouts, the new model is worse than the one before it"
        case NotEvaluated(reason=reason):
            return f"not evaluated: {reason}"
