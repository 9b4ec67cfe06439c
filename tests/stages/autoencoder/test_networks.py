"""Sizes of the paper's networks, and what the small ones let through."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from pipeline.params import Params
from stages.autoencoder.blocks import attend_in_parts, self_attention
from stages.autoencoder.coarse import CoarseDecoder
from stages.autoencoder.discriminator import Discriminator
from stages.autoencoder.encoders import Posterior
from stages.autoencoder.heads import ClassificationHead, ContrastiveHead
from stages.autoencoder.model import MultiModalAutoencoder, Shapes


def test_paper_latents_have_the_published_shapes_and_the_unet_is_stable_diffusions(paper: Params) -> None:
    with torch.device("meta"):
        network = MultiModalAutoencoder(paper.autoencoder, Shapes(4, 32, 16, tuple("abcdefghi")))
        audio, video = network.encode(torch.empty(1, 4, 32, 32), torch.empty(1, 16, 4, 32, 32))
        s_a, s_v = network.semantics(audio.mean, video.mean)
        logits = Discriminator(paper.autoencoder.discriminator, 256)(torch.empty(2, 3, 3, 256, 256))
    assert audio.mean.shape == (1, 16, 8, 8) and video.mean.shape == (1, 16, 16, 16)
    assert s_a.shape == s_v.shape == (1, 768, 2, 2)
    assert logits.shape == (2,)
    # 859,520,964 is the size of Stable Diffusion 1.5's U-Net as published.
    assert sum(p.numel() for p in network.signal_decoder.unet.parameters()) == 859_520_964
    assert network.seen_frames().tolist() == [0, 5, 10, 15]


def test_the_video_latent_knows_the_order_of_the_frames(network: MultiModalAutoencoder) -> None:
    torch.manual_seed(0)
    audio, video = torch.randn(2, 4, 4, 4), torch.randn(2, 16, 4, 4, 4)
    forwards = network.encode(audio, video)[1].mean
    backwards = network.encode(audio, video.flip(1))[1].mean
    assert not torch.allclose(forwards, backwards, atol=1e-3)


def test_key_frames_alone_reach_the_latent_when_params_say_so(params: Params, shapes: Shapes) -> None:
    torch.manual_seed(0)
    network = MultiModalAutoencoder(replace(params.autoencoder, video_input="key_frames", num_key_frames=4), shapes)
    for parameter in network.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    audio, video = torch.randn(1, 4, 4, 4), torch.randn(1, 16, 4, 4, 4)
    before = network.encode(audio, video)[1].mean
    hidden, seen = video.clone(), video.clone()
    hidden[:, 7] += 1
    seen[:, 10] += 1
    assert torch.equal(network.encode(audio, hidden)[1].mean, before)
    assert not torch.equal(network.encode(audio, seen)[1].mean, before)


def test_posterior_draws_have_its_mean_and_deviation() -> None:
    posterior = Posterior(torch.full((1, 1, 200, 200), 3.0), torch.full((1, 1, 200, 200), 2.0).log() * 2)
    draw = posterior.sample()
    assert float(draw.mean()) == pytest.approx(3, abs=0.05) and float(draw.std()) == pytest.approx(2, abs=0.05)


def test_semantic_losses_leave_the_encoders_alone(network: MultiModalAutoencoder) -> None:
    audio, video = network.encode(torch.randn(4, 4, 4, 4), torch.randn(4, 16, 4, 4, 4))
    s_a, s_v = network.semantics(audio.sample(), video.sample())
    assert network.classification_head is not None and network.contrastive_head is not None
    (network.classification_head(s_a, s_v).sum() + network.contrastive_head(s_a).sum() + network.contrastive_head(s_v).sum()).backward()
    for encoder in (network.audio_encoder, network.video_encoder):
        assert all(p.grad is None for p in encoder.parameters())
    for projector in (network.audio_projector, network.video_projector):
        assert all(p.grad is not None for p in projector.parameters())


def test_classification_takes_maps_of_different_sizes_and_a_single_class(params: Params) -> None:
    head = ClassificationHead(params.autoencoder.heads, 16, 1)
    assert head(torch.randn(3, 16, 2, 2), torch.randn(3, 16, 4, 4)).shape == (3, 1)


def test_contrastive_vectors_have_length_one_and_tau_stays_positive(params: Params) -> None:
    head = ContrastiveHead(params.autoencoder.heads, 16)
    vectors = head(torch.randn(5, 16, 2, 2))
    assert torch.allclose(vectors.norm(dim=1), torch.ones(5))
    assert float(head.scale.detach()) == pytest.approx(1 / params.autoencoder.heads.temperature, rel=1e-5)
    with torch.no_grad():
        head.log_scale.fill_(-50.0)
    assert float(head.scale.detach()) > 0


def test_coarse_decode_gives_every_frame_and_tells_them_apart() -> None:
    torch.manual_seed(0)
    decoder = CoarseDecoder(width=32, depth=1, num_frames=5, latent_channels=4, latent_side=2, out_channels=3, out_side=8)
    frames = decoder(torch.randn(2, 4, 2, 2))
    assert frames.shape == (2, 5, 3, 8, 8)
    assert not torch.allclose(frames[:, 0], frames[:, 4])


@pytest.mark.parametrize("full_attention_max_px", [0, 32])
def test_discriminator_judges_the_three_images_together(params: Params, full_attention_max_px: int) -> None:
    """Moving the sound image changes what the judge's last map of the first frame looks like: attention joins the slots."""
    torch.manual_seed(0)
    settings = replace(params.autoencoder.discriminator, full_attention_max_px=full_attention_max_px)
    network = Discriminator(settings, 32)
    for parameter in network.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    triples = torch.rand(1, 3, 3, 32, 32, requires_grad=True)
    network.body(network.conv_in(triples.transpose(1, 2)) + network.slots)[:, :, 1].sum().backward()
    assert triples.grad is not None and float(triples.grad[:, 0].abs().sum()) > 0
    assert network(triples).shape == (1,)


def test_attention_in_parts_is_attention() -> None:
    q, k, v = torch.randn(3, 5, 2, 4, 8).unbind()
    assert torch.allclose(attend_in_parts(q, k, v, most=2), F.scaled_dot_product_attention(q, k, v), atol=1e-6)


@pytest.mark.gpu
def test_a_gpu_attends_over_the_pixels_of_two_windows() -> None:
    if not torch.cuda.is_available():
        pytest.skip("no GPU")
    qkv = torch.randn(2 * 256 * 256, 16, 3 * 32, device="cuda", dtype=torch.float16, requires_grad=True)
    self_attention(qkv, heads=1).sum().backward()
    assert qkv.grad is not None and qkv.grad.isfinite().all()
