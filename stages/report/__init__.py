"""report: one page to look at and listen to, without a server, a network or a library.

Comes in   data/inventory      clips per class, rejected files by reason
           data/decode         real held-out clips, shown beside the samples
           data/audio_images   their mel images
           data/sample         samples of every task, with condition or original
           data/evaluate       metrics.parquet, neighbours.parquet
           data/{local_features,klvae,autoencoder,dit}   curves.csv of the trainings
Goes out   data/report/index.html   the page
           data/report/media/       the few mp4 and png files that it shows; the folder can be moved or sent as it is
"""

from stages.report.run import run

__all__ = ["run"]
