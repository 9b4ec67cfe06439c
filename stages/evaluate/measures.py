"""The measures by name: each takes what it can from an `Evaluation`, looks at one `Group` of windows, and adds figures.

A protocol lists those that it wants. A measure that lacks what it needs lists its figures as absent with the reason.
"""

from collections.abc import Callable, Mapping

from stages.evaluate import (
    audio_distances,
    av_align,
    beats,
    class_accuracy,
    clouds,
    desync,
    distances,
    memorisation,
    reconstruction,
    similarity,
    sound_classes,
    synchrony,
)
from stages.evaluate.evaluation import Evaluation, Group

MEASURES: Mapping[str, Callable[[Evaluation, Group], None]] = {
    "distances": distances.measure,
    "clouds": clouds.measure,
    "audio_distances": audio_distances.measure,
    "sound_classes": sound_classes.measure,
    "class_accuracy": class_accuracy.measure,
    "likeness": reconstruction.measure,
    "events": synchrony.measure,
    "av_align": av_align.measure,
    "beats": beats.measure,
    "desync": desync.measure,
    "similarity": similarity.measure,
    "memorisation": memorisation.measure,
}
