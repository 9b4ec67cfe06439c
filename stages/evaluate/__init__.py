"""evaluate: samples and reconstructions against held-out clips, in numbers that say what they depend on (paper 4.1).

Comes in   data/sample         samples.parquet, lossless frames and waveforms; tasks svg, a2v, v2a, reconstruction
           data/decode         real frames and waveforms: training windows for the local classifiers, held-out ones as reference
           data/audio_images   the originals of the reconstructed audio images
           data/demo_data      events.parquet: empty for a user's own data; says whether synchrony can be measured
           data/inventory      the classes
Goes out   metrics.parquet     a row a figure, with protocol, extractor, its weights' hash, reference, counts, floor and interval; of
                               what is absent, what it needs
           metrics.json        "<protocol>/<task>/<name>" -> value, and `_floor`, `_low`, `_high` beside it (`dvc metrics show`)
           neighbours.parquet  the training window nearest to each sample, and to each held-out one (memorisation.py)
           {video,audio}_classifier/curves.csv   training curves of the local classifiers

A distance carries the name of its extractor. `fvd_local`, `kvd_local` and `fad_local` use small classifiers trained here on the
training clips, to tell classes and what a corrupted clip suffers from; they compare runs on ONE data set and nothing else.
`fvd_i3d` and `kvd_i3d` are those of the papers (evaluate.i3d).
What is measured, on how many windows of what size and against what, is a protocol (`protocols/*.yaml`, evaluate.protocols).
Held-out sources are divided in two: samples are compared with the one half, and as many real windows of the other half, put
in the samples' place, give the floor.
"""

from stages.evaluate.run import run

__all__ = ["run"]
