"""evaluate: samples and reconstructions against held-out clips, in numbers that say what they depend on (paper 4.1).

Comes in   data/sample         samples.parquet, lossless frames and waveforms: every task, and reconstructions
           data/decode         real frames and waveforms: held-out windows as reference and floor, windows that were learnt from
           data/local_features the networks behind `..._local`
           data/audio_images   the originals of the reconstructed audio images
           data/demo_data      events.parquet: empty for a user's own data; says whether synchrony can be measured
           data/inventory      the classes
Goes out   metrics.parquet     a row a figure, with protocol, extractor, its weights' hash, reference, counts, floor and interval; of
                               what is absent, what it needs
           metrics.json        "<protocol>/<task>/<name>" -> value, and `_floor`, `_low`, `_high` beside it (`dvc metrics show`)
           neighbours.parquet  the training window nearest to each sample, and to each held-out one (memorisation.py)
           features/           of every set by every extractor, known by content and taken over by later runs (features.py)

What is measured, on how many windows of what size and against what, is a protocol (`protocols/*.yaml`, evaluate.protocols); its name is
in front of every figure. A distance carries the name of its extractor (`extractors/`, a file a network). Extractors with published weights
are those of the papers; `..._local` come from small networks trained on the training clips, compare runs on ONE data set and nothing else.
Held-out sources are divided in two: samples are compared with the one half, and as many real windows of the other half, put
in the samples' place, give the floor. `..._to_train` are distances to what was learnt from: a model that copies it is near it.
"""

from stages.evaluate.run import run

__all__ = ["run"]
