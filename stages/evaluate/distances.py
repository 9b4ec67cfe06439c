"""FVD, KVD and FAD under the name of their extractor, each beside the same distance between real clips at equal sample size."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from stages.evaluate.figures import Figure, NotComputable
from stages.evaluate.frechet import frechet_distance
from stages.evaluate.mmd import polynomial_mmd

Distance = Callable[[np.ndarray, np.ndarray], float]
DISTANCES: Mapping[str, Mapping[str, Distance]] = {
    "video": {"fvd": frechet_distance, "kvd": polynomial_mmd},
    "audio": {"fad": frechet_distance},
}
"""Metric -> distance, by what the extractor sees."""
FLOOR_KIND = "real against real, equal counts"


@dataclass(frozen=True, slots=True)
class RealFeatures:
    """Features of held-out windows in two sets that share no source video; any beginning of a set is a fair subset of it."""

    reference: np.ndarray
    """[m, d]: what samples are compared with."""
    floor: np.ndarray
    """[k, d]: real clips in the place of samples."""


def distance_figures(samples: np.ndarray, real: RealFeatures, template: Figure, modality: str, min_samples: int) -> list[Figure]:
    """Distances of samples to the held-out reference.

    Args:
        samples: [n, d] features.
        template: task and provenance of the figures.
        modality: what the extractor sees, "video" or "audio".
        min_samples: fewest rows on either side.

    Returns:
        fvd_<extractor> and kvd_<extractor>, or fad_<extractor>; without a floor when there are fewer than n real windows for it.

    Raises:
        NotComputable: too few samples or held-out windows, or features that are not finite.
    """
    require_enough(samples, real.reference, min_samples)
    stand_ins = real.floor[:len(samples)] if len(real.floor) >= len(samples) else None
    return _figures(samples, real.reference, stand_ins, real.reference, template, modality, prefix="")


def reconstruction_figures(samples: np.ndarray, originals: np.ndarray, real: RealFeatures, template: Figure,
                           modality: str, min_samples: int) -> list[Figure]:
    """rfvd, rkvd, rfad: reconstructions against their own originals [n, d].

    The floor is the distance of two sets of n real windows of different sources: a value under it means that the reconstructions
    are nearer to their originals than new clips are to each other. Raises as `distance_figures`.
    """
    require_enough(samples, originals, min_samples)
    count = len(samples)
    enough = min(len(real.floor), len(real.reference)) >= count
    return _figures(samples, originals, real.floor[:count] if enough else None, real.reference[:count], template, modality, prefix="r")


def require_enough(samples: np.ndarray, reference: np.ndarray, min_samples: int) -> None:
    """Raises NotComputable when a distance would say more about the counts than about the samples."""
    if len(samples) < min_samples:
        raise NotComputable(f"needs {min_samples} samples (evaluate.min_samples), data/sample has {len(samples)}; raise sample.num_samples")
    if len(reference) < min_samples:
        raise NotComputable(f"needs {min_samples} held-out windows (evaluate.min_samples), there are {len(reference)}; "
                            "add clips, or raise inventory.test_share")
    if not (np.isfinite(samples).all() and np.isfinite(reference).all()):
        rows = np.flatnonzero(~np.isfinite(samples).all(1)).tolist()
        raise NotComputable(f"needs finite features; those of samples {rows[:5]} are not, look at them on the report page")


def _figures(samples: np.ndarray, reference: np.ndarray, stand_ins: np.ndarray | None, stand_in_reference: np.ndarray, template: Figure,
             modality: str, prefix: str) -> list[Figure]:
    made = []
    for metric, distance in DISTANCES[modality].items():
        floor = None if stand_ins is None else distance(stand_ins, stand_in_reference)
        made.append(template.with_value(f"{prefix}{metric}_{template.extractor}", distance(samples, reference), floor, FLOOR_KIND,
                                        len(samples), len(reference)))
    return made


def metric_names(modality: str, extractor: str, prefix: str = "") -> list[str]:
    """Names of the distances of an extractor: ["fvd_local", "kvd_local"]."""
    return [f"{prefix}{metric}_{extractor}" for metric in DISTANCES[modality]]
