"""inventory: files of `<class>/<file>` -> the table of clips that can be trusted, and the table of files left out (paper 4.1, data).

Comes in   data.raw/<class>/<file>     videos with sound; at any depth with a table of labels (labels.py)
Goes out   data/inventory/clips.parquet     one row a clip: source, class, split, start, duration, reader (pipeline/contracts/clips.py)
           data/inventory/rejected.parquet  one row a file left out: path, reason code (reasons.py), detail
           data/inventory/sources.parquet   one row a content, all that was measured (pipeline/contracts/sources.py)
           data/inventory/pairs.parquet     one row a pair of contents that are alike, with the verdict whether they are one recording
           data/inventory/quality.json      counts per class, split, reason and reader; durations, rates, sizes, loudness,
                                            black and frozen pictures, silent and clipped sound, duplicates

Every file is read whole, sound and picture: headers lie, and a damaged file often opens. What a row says was measured
on decoded frames. A content that an earlier run measured, also one that was killed, is hashed and not decoded again (known.py).
The split is decided by the source's content (split.py), for all that belongs together at once (groups.py).

Its `run` is not imported here: decode's workers need streams.py, and would load all of scipy with it.
"""
