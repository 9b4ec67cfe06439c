"""evaluate: samples and reconstructions against held-out clips, in numbers that say what they depend on (paper 4.1).

Comes in   data/sample         samples.parquet, lossless frames and waveforms; tasks svg, a2v, v2a, reconstruction
           data/decode         real frames and waveforms: training windows for the local classifiers, held-out ones as reference
           data/audio_images   the originals of the reconstructed audio images
           data/demo_data      events.parquet: empty for a user's own data; says whether synchrony can be measured
           data/inventory      the classes
Goes out   metrics.json        task -> name -> value, and `<name>_floor` beside it (`dvc metrics show`)
           metrics.csv         the same, one row a figure, with extractor, its weights' hash, reference and counts
           not_computed.json   what is absent and what it needs
           {video,audio}_classifier/curves.csv   training curves of the local classifiers

A distance carries the name of its extractor. `fvd_local`, `kvd_local` and `fad_local` use small classifiers trained here on the
training clips, to tell classes and what a corrupted clip suffers from; they compare runs on ONE data set and nothing else.
`fvd_i3d` and `kvd_i3d` are those of the papers (evaluate.i3d).
Held-out sources are divided in two: samples are compared with the one half, and as many real windows of the other half, put
in the samples' place, give the floor.
"""

from stages.evaluate.run import run

__all__ = ["run"]
