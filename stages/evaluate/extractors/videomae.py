"""VideoMAE features of the content-debiased FVD (Ge et al. 2024): they notice motion, where I3D mostly sees single frames.

The published figures use the ViT-g of VideoMAE V2 finetuned on Something-Something V2, which is what the entry is for; other VideoMAE
weights give other numbers. Its names are those of the authors, put into the classes of transformers here.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from pipeline.contracts.window_sets import Window
from stages.evaluate.extractors.extractor import InputContract, stack_frames
from stages.evaluate.extractors.frames import stretched
from stages.evaluate.extractors.published import PublishedExtractor
from stages.evaluate.extractors.weights import filled, load_state

NUM_FRAMES, INPUT_PX, NUM_CLASSES = 16, 224, 174
VIT_G: Mapping[str, Any] = {
    "image_size": INPUT_PX, "patch_size": 14, "tubelet_size": 2, "num_frames": NUM_FRAMES, "hidden_size": 1408, "num_hidden_layers": 40,
    "num_attention_heads": 16, "intermediate_size": 6144, "layer_norm_eps": 1e-6, "use_mean_pooling": True}
"""Of transformers' VideoMAEConfig."""
LAYER_NAMES = {"norm1": "layernorm_before", "norm2": "layernorm_after", "attn.proj": "attention.output.dense",
               "mlp.fc1": "intermediate.dense", "mlp.fc2": "output.dense"}


class VideoMAE(PublishedExtractor):
    """Mean over all tokens, then the last normalisation: what the classifier of the finetuned network sees."""

    name = "videomae"
    where = "vit_g_hybrid_pt_1200e_ssv2_ft.pth, in the hub repository OpenGVLab/VideoMAE2"
    modality = "video"
    metrics = ("fvd",)
    batch_size = 4
    config: Mapping[str, Any] = VIT_G
    contract = InputContract(num_frames=NUM_FRAMES)
    input = "frames / 255, stretched to 224 x 224 (bilinear), not normalised (cd-fvd); mean of all tokens, normalised"

    def open(self) -> nn.Module:
        from transformers import VideoMAEConfig, VideoMAEForVideoClassification

        config = VideoMAEConfig(**self.config)
        config.num_labels = NUM_CLASSES
        network = VideoMAEForVideoClassification(config)
        assert network.fc_norm is not None
        network.fc_norm.eps = config.layer_norm_eps  # transformers leaves torch's own
        state = transformers_names(load_state(self.file, self.entry(), inside="module"))
        return filled(network, state, self.entry(), self.file)

    def __call__(self, windows: list[Window]) -> Tensor:
        videos = videomae_input(stack_frames(windows).to(self.device))
        tokens = self.network.videomae(videos.transpose(1, 2)).last_hidden_state      # (b, n, d)
        return self.network.fc_norm(tokens.mean(1))


def videomae_input(frames: Tensor) -> Tensor:
    """uint8 [b, f, h, w, 3] -> float32 [b, 3, f, 224, 224] in [0, 1]."""
    return stretched(frames.float() / 255, INPUT_PX)


def transformers_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The authors' weights under the names of VideoMAEForVideoClassification; one matrix for query, key, value becomes three."""
    renamed: dict[str, Tensor] = {}
    for name, value in state.items():
        if name.startswith("blocks."):
            _, layer, rest = name.split(".", 2)
            base = f"videomae.encoder.layer.{layer}."
            part, _, kind = rest.rpartition(".")
            if rest == "attn.qkv.weight":
                for which, piece in zip(("query", "key", "value"), value.chunk(3), strict=True):
                    renamed[f"{base}attention.attention.{which}.weight"] = piece
            elif rest in ("attn.q_bias", "attn.v_bias"):
                renamed[f"{base}attention.attention.{'query' if 'q_' in rest else 'value'}.bias"] = value
            else:
                renamed[f"{base}{LAYER_NAMES.get(part, part)}.{kind}"] = value
        else:
            name = name.replace("patch_embed.proj", "videomae.embeddings.patch_embeddings.projection")
            renamed[name.replace("head.", "classifier.")] = value
    return renamed
