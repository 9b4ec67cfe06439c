"""dit: the joint diffusion transformer, trained on cached latents (paper 3.2, 3.3).

Comes in   data/latents/*.tar            per window the posteriors of z_a and z_v; statistics.json
Goes out   data/dit/dit.safetensors      the network, EMA weights
           data/dit/config.json          its params, latent shapes, statistics, class names
           data/dit/metrics.json         held-out losses per timestep, with right and with shuffled conditions
           data/dit/curves.csv           the training's losses by step

    paper                         code
    z_a^t, z_v^t                  audio_latents, video_latents of `JointDiT.forward`
    n~_theta^a, n~_theta^v        its two results
    (0_a, 0_v)                    zeros as audio_condition, video_condition
    [EOS_a], [EOS_v]              `ModalityTokens.eos`
    zero convolution              `ModalityTokens.condition_embed`
"""

from stages.dit.checkpoint import LatentScale, TrainedDiT, load, open_folder
from stages.dit.model import NULL_CLASS, JointDiT
from stages.dit.train import run

__all__ = ["NULL_CLASS", "JointDiT", "LatentScale", "TrainedDiT", "load", "open_folder", "run"]
