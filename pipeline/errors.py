"""What a user can cause, and is told in one line.

Every message says: where, what was got, what is expected, and the next step.
A stage that raises one of these exits with 1 and prints the line without a traceback;
anything else is a defect of ours and keeps its traceback.
"""


class UserError(ValueError):
    """A mistake that a user can mend; the message ends with the next step."""


class ParamsError(UserError):
    """params.yaml holds something that cannot be run."""


class DataError(UserError):
    """The data, or what an earlier stage left, cannot be used."""


class WeightsError(UserError):
    """Pretrained or trained weights are absent, of another shape, or of another hash."""


class AbsentWeights(WeightsError):
    """Pretrained weights are not on this machine and cannot be fetched; what can do without them goes on."""


class TrainingError(UserError):
    """A training cannot go on (non-finite loss, a checkpoint of another run)."""


class RunError(UserError):
    """The stages cannot be started, or one of them failed."""


class TransientError(UserError):
    """Nobody's mistake, and perhaps gone a minute later (a worker was killed, a cluster went away): the stage exits with `TRY_AGAIN`."""


TRY_AGAIN = 75
"""Exit code of a stage that is worth another try (EX_TEMPFAIL of sysexits.h)."""
