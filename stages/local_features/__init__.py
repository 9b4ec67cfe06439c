"""local_features: two small networks that see and hear, trained on this data set's own training clips, for evaluate to measure with.

Comes in   data/decode       training windows
           data/inventory    the classes
Goes out   data/local_features/{video,audio}.safetensors   the networks (networks.py)
           data/local_features/config.json                  what they learned, and on how many windows
           data/local_features/{video,audio}/curves.csv     training curves

With two classes or more a network learns to tell the class and what a corrupted clip suffers from; with one class it learns, in place
of the class, which two views are of one clip (contrastive). The figures that its features give compare runs on ONE data set and nothing
else, which is why they are called `..._local`.
"""

from stages.local_features.networks import LocalNetwork, Modality, load
from stages.local_features.run import run

__all__ = ["LocalNetwork", "Modality", "load", "run"]
