"""decode: clips -> frames at `clip.fps` and a mono waveform, both from the clip's first moment (paper 4.1, data).

Comes in   data/inventory/clips.parquet   which stretch of which file, and which reader is right for it
           data.raw/<class>/<file>        the files themselves, checked by sha256
Goes out   data/decode/{split}-*.tar      per clip: frames uint8 [N, H, W, 3], waveform int16 [S], meta (pipeline/contracts/decoded.py)

Frame k is what a player shows at `start + k / fps` seconds after the first shown frame: chosen by time, never by number.
Sample 0 of the waveform is the sound of the same moment. The bytes depend neither on the reader nor on the number of workers.

Its `run` is not imported here: the workers need clip_reader.py alone, and would load pandas with it.
"""
