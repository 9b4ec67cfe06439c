"""efficiency: seconds, memory and largest batches of training and sampling on this machine, as in the paper's table 2.

No stage of the graph: what it prints is about a machine, and no two runs print the same. `mmldm table 2` starts it.

Comes in   params.yaml   sizes of the networks and how samples are drawn; the weights are random, which changes no time
Goes out   stdout        one line of JSON (`efficiency.Found`); nothing is written

    row           training step                                         sample
    end to end    frames and sound's image through the KL-VAE and the   latents by the DiT, then the signal decoder, the KL-VAE and the
                  autoencoder's encoders, then the DiT's step           vocoder, to frames and waveform
    DiT alone     the DiT's step on latents that are there              latents
"""

from stages.efficiency.measure import measure

__all__ = ["measure"]
