"""A user's file as condition is, byte for byte, what the pipeline makes of it; or it is refused in one line.

    pytest tests/stages/sample/test_condition.py
"""

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from pipeline.contracts.decoded import float_waveform
from pipeline.contracts.windows import window_waveform
from pipeline.errors import DataError
from pipeline.params import load_params
from stages.audio_images.windows import clip_images
from stages.decode.clip_reader import read_clip
from stages.decode.decoded_clip import DecodedClip
from stages.decode.tasks import ClipTask
from stages.inventory.probe import probe
from stages.inventory.streams import hash_file
from stages.inventory.stretches import clips_of
from stages.sample.condition import Condition, read_condition, read_still

PARAMS = load_params(Path(__file__).parents[3] / "tests/presets/tiny.yaml")
CLIP, AUDIO, IMAGES = PARAMS.clip, PARAMS.audio, PARAMS.audio_images


def as_condition(path: Path, *, picture: bool = True, sound: bool = True, start_sec: float | None = None, last: bool = False) -> Condition:
    return read_condition(path, CLIP, AUDIO, IMAGES, picture=picture, sound=sound, start_sec=start_sec, last=last)


def as_decoded(path: Path) -> DecodedClip:
    """The file's first clip, as inventory and decode make it."""
    measured, _ = probe(path)
    start_sec, duration_sec = clips_of(measured, CLIP, allow_silent=True)[0]
    return read_clip(ClipTask(
        raw=path.parent, clip_id="", source_path=path.name, source_sha256=hash_file(path), class_id=0, class_name="", split="",
        start_sec=start_sec, num_frames=round(duration_sec * CLIP.fps), shown_px=(measured.width_px, measured.height_px), reader="pyav",
        fps=CLIP.fps, size_px=CLIP.frame_size_px, fit=CLIP.fit, rate_hz=AUDIO.sample_rate_hz))


@pytest.mark.parametrize(("name", "made"), [
    ("plain.mp4", {}), ("wide.mkv", {"size": (128, 48), "rate_hz": 48000, "fps": 30}), ("late_sound.mp4", {"audio_start_sec": 0.5}),
    ("odd.mov", {"fps": 24, "rate_hz": 22050}), ("old.avi", {}),
    ("uneven.mkv", {"frame_ticks": [*range(0, 2000, 40), *range(2000, 3000, 70)]})])
def test_a_videos_window_is_that_of_decode_and_audio_images(make_clip: Callable[..., Path], tmp_path: Path, name: str,
                                                            made: dict[str, object]) -> None:
    path = make_clip(tmp_path / name, seconds=3.0, **made)
    clip = as_decoded(path)
    first = as_condition(path)
    latest = len(clip.frames) - CLIP.num_frames
    for condition, start in ((first, 0), (as_condition(path, start_sec=first.start_sec + 0.5), 5), (as_condition(path, last=True), latest)):
        assert np.array_equal(condition.frames, clip.frames[start : start + CLIP.num_frames])
        assert np.array_equal(condition.waveform, window_waveform(clip.waveform, start, CLIP, AUDIO))
        assert np.array_equal(condition.gray, clip_images(float_waveform(clip.waveform), [start], CLIP, AUDIO, IMAGES)[0])
        assert condition.start_sec == pytest.approx(first.start_sec + start / CLIP.fps)


def test_a_window_deep_in_a_long_file_is_that_of_its_clip(make_clip: Callable[..., Path], tmp_path: Path) -> None:
    """Clips end every clip.max_sec; frames and sound are those of the clip around the window."""
    path = make_clip(tmp_path / "long.mp4", seconds=13.0, size=(32, 32), event_sec=11.0)
    deep = as_condition(path, start_sec=10.6)
    assert deep.frames is not None and deep.waveform is not None
    assert deep.frames.reshape(CLIP.num_frames, -1).mean(axis=1).argmax() in (4, 5)  # the flash at 11.0 s
    assert np.abs(deep.waveform).argmax() / AUDIO.sample_rate_hz == pytest.approx(0.4, abs=0.03)


@pytest.mark.parametrize(("ending", "codec"), [("wav", "pcm_s16le"), ("mp3", "libmp3lame"), ("flac", "flac"), ("m4a", "aac")])
def test_a_sound_alone_will_do_for_a_task_of_sound(tmp_path: Path, ending: str, codec: str) -> None:
    path = tmp_path / f"tone.{ending}"
    wave = 0.4 * np.sin(2 * np.pi * 700 * np.arange(2 * 44100) / 44100)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=44100, layout="mono")
        for start in range(0, len(wave), 1024):
            frame = av.AudioFrame.from_ndarray((wave[None, start : start + 1024] * 32767).astype(np.int16), format="s16", layout="mono")
            frame.sample_rate, frame.pts = 44100, start
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    condition = as_condition(path, picture=False)
    assert condition.frames is None and condition.waveform is not None and condition.waveform.shape == (25600,)
    heard = np.abs(np.fft.rfft(condition.waveform[4000:20000]))
    assert heard.argmax() == 700 and np.abs(condition.waveform[:800]).max() > 9000  # it begins at once, without the encoder's delay
    with pytest.raises(DataError, match=r"tone\.\w+ cannot be the condition: no picture in the file; needed: a picture"):
        as_condition(path, sound=False)


def test_a_silent_video_will_do_for_a_task_of_pictures(bad_clips: Path) -> None:
    assert as_condition(bad_clips / "no_audio_track.mp4", sound=False).frames is not None
    with pytest.raises(DataError, match="no sound in the file; needed: a sound"):
        as_condition(bad_clips / "no_audio_track.mp4", picture=False)
    for name, said in (("text_renamed.mp4", "cannot be read"), ("zero_bytes.mp4", "cannot be read"),
                       ("corrupt_middle.mp4", "cannot be read"),
                       ("too_short.mp4", r"has 0\.48 s of a picture and a sound, one window needs 1\.6 s; give a longer file"),
                       ("truncated_index_first.mp4", r"has 1\.09 s")):
        with pytest.raises(DataError, match=said):
            as_condition(bad_clips / name)


def test_real_clips_are_read_as_decode_reads_them(real_clips: Path) -> None:
    for path in sorted(real_clips.glob("*/*.*"))[::31]:
        clip, condition = as_decoded(path), as_condition(path)
        assert np.array_equal(condition.frames, clip.frames[: CLIP.num_frames]), path
        assert np.array_equal(condition.waveform, window_waveform(clip.waveform, 0, CLIP, AUDIO)), path


def test_a_start_outside_of_the_file_is_refused_with_what_can_be(make_clip: Callable[..., Path], tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4", seconds=2.4)
    for start_sec in (-0.2, 0.9, 60.0):
        with pytest.raises(DataError, match=r"no window of 1\.6 s from \S+ s on; --start can be 0\.00 to 0\.80"):
            as_condition(path, start_sec=start_sec)
    with pytest.raises(DataError, match=r"has 1\.20 s of a sound, one window needs 1\.6 s"):
        as_condition(make_clip(tmp_path / "b.mp4", seconds=1.2), picture=False)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.bmp"])
def test_a_picture_stands_still_and_is_fitted_as_frames_are(tmp_path: Path, name: str) -> None:
    Image.new("RGB", (90, 30), (200, 40, 40)).save(tmp_path / name)
    condition = read_still(tmp_path / name, CLIP)
    assert condition is not None and condition.frames is not None and condition.frames.shape == (16, 32, 32, 3)
    assert (condition.frames == condition.frames[0]).all()
    assert not condition.frames[0, :10].any()  # padded, as CLIP.fit says
    assert np.abs(condition.frames[0, 16, 16].astype(int) - (200, 40, 40)).max() < 8


def test_pictures_of_other_kinds_are_turned_upright_made_opaque_and_brought_to_8_bits(tmp_path: Path) -> None:
    tall = Image.new("RGB", (40, 20), (10, 10, 10))
    tall.paste((255, 255, 255), (0, 0, 20, 20))
    exif = tall.getexif()
    exif[0x0112] = 6  # the camera was turned: what is left becomes the top
    tall.save(tmp_path / "turned.jpg", exif=exif)
    frames = read_still(tmp_path / "turned.jpg", CLIP).frames  # type: ignore[union-attr]
    assert frames is not None and frames[0, 4, 16].min() > 240 and frames[0, 28, 16].max() < 40 and not frames[0, 16, 2].any()
    Image.new("RGBA", (32, 32), (255, 255, 255, 0)).save(tmp_path / "clear.png")
    assert not read_still(tmp_path / "clear.png", CLIP).frames.any()  # type: ignore[union-attr]
    Image.fromarray(np.full((32, 32), 32896, np.uint16)).save(tmp_path / "deep.png")
    assert (read_still(tmp_path / "deep.png", CLIP).frames == 128).all()  # type: ignore[union-attr]


def test_what_is_no_picture_is_left_to_the_video_reader_and_a_broken_one_is_refused(make_clip: Callable[..., Path], tmp_path: Path) -> None:
    assert read_still(make_clip(tmp_path / "a.mp4"), CLIP) is None
    Image.new("RGB", (300, 300), (1, 2, 3)).save(tmp_path / "cut.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:200])
    with pytest.raises(DataError, match=r"cut.png cannot be read .*; give another picture"):
        read_still(tmp_path / "cut.png", CLIP)
