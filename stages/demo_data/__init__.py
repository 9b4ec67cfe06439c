"""demo_data: a small set of sounding videos, made from formulas, for a run that needs no data of the user's (not in the paper).

Comes in   nothing but params (`seed`, `data`, `demo_data`)
Goes out   out/clips/<kind>/<kind>_0000.mp4   H.264 + AAC, mono 48 kHz, `demo_data.clip_sec` seconds
           out/events.parquet                 the true times at which sound and picture meet (pipeline/contracts/events.py)

Each kind is one class whose sound and picture belong together physically:

| kind     | seen                                          | heard at the event             | pitch falls with        |
|----------|-----------------------------------------------|--------------------------------|-------------------------|
| bounce   | a ball bounces under gravity                  | low thud when it lands         | size of the ball        |
| pendulum | a bob swings, its length sets the period      | high tick at its turning points| size of the bob         |
| lamp     | a disc flares up and dims                     | tone as loud as it is bright   | size of the disc        |
| clack    | two balls meet and part                       | wooden clack at contact        | size of the balls       |
| rain     | streaks whose density comes in showers        | noise as strong as the shower  | size of the streaks     |

With `data.raw` pointing elsewhere the stage writes no clips and an empty table, after making sure that there is something
at `data.raw`: it is the first stage, so the mistake is told before any work.
"""

from stages.demo_data.dataset import run

__all__ = ["run"]
