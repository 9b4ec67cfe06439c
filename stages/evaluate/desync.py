"""DeSync, the offset of sound and picture that Synchformer predicts (Iashin et al. 2024): listed, and for now never computed.

It reads the first and the last 4.8 s of a clip at 25 frames a second, so windows of 1.6 s have none: figures published for them are of
something else. Its network is not written here; a run with windows that are long enough is told where to get the figure.
"""

from stages.evaluate.evaluation import ONE_MODALITY, Evaluation, Group

MIN_SEC = 4.8
NAME = "desync_synchformer"


def measure(evaluation: Evaluation, group: Group) -> None:
    """desync_synchformer of tasks with sound and picture, always among what was not computed."""
    if group.task not in ONE_MODALITY:
        evaluation.figures.miss(evaluation.template(group.task), [NAME], reason(evaluation.clip.window_sec))


def reason(window_sec: float) -> str:
    """Why there is no figure of windows of this length."""
    if window_sec < MIN_SEC:
        return f"is undefined under {MIN_SEC:g} s, windows have {window_sec:g} s; events, av_align and beats are for short ones"
    return "needs the network Synchformer, which is not part of this project; measure data/sample/mp4 with av-benchmark"
