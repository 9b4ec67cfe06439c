"""Every format that people have: the right pictures, and the click with the flash. pytest tests/stages/decode/test_formats.py"""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from stages.decode.audio import read_waveform
from stages.decode.video import TOLERANCE_SEC, DecordReader, PyavReader
from stages.inventory.probe import probe
from stages.inventory.reasons import RejectedFile
from tests.stages.decode.odd_clips import COLOUR, EVENT_SEC, set_edit_lists, write_odd_clip

RATE = 16000
FPS = 25
VP9 = {"codec": "libvpx-vp9", "options": {"deadline": "realtime", "cpu-used": "8"}, "audio_codec": "libopus", "rate_hz": 48000}
MPEG2 = {"codec": "mpeg2video", "size": (352, 288), "audio_codec": "mp2", "rate_hz": 48000}
FORMATS: dict[str, dict[str, Any]] = {
    "plain.mp4": {},
    "late_sound.mp4": {"audio_start_sec": 0.476},
    "late_sound.mkv": {"audio_start_sec": 0.476},
    "late_sound.mov": {"audio_start_sec": 0.476},
    "late_sound.ts": {"audio_start_sec": 0.476},
    "late_sound.webm": VP9 | {"audio_start_sec": 0.476},
    "late_sound.flv": {"audio_start_sec": 0.476},
    "late_start.mov": {"video_start_sec": 1.4},
    "late_start.mkv": {"video_start_sec": 1.4},
    "late_start.ts": {"video_start_sec": 90000.0},
    "sound_first.mkv": {"audio_start_sec": -0.52},
    "sound_first.mp4": {"audio_start_sec": -0.52, "video_start_sec": 0.52},
    "xvid.avi": {"codec": "mpeg4", "options": {"bf": "2"}, "audio_codec": "libmp3lame", "layout": "stereo"},
    "motion_jpeg.avi": {"codec": "mjpeg", "pixels": "yuvj420p", "audio_codec": "pcm_u8", "rate_hz": 11025},
    "program_stream.mpg": MPEG2,
    "dvd_5.1.vob": MPEG2 | {"audio_codec": "ac3", "layout": "5.1"},
    "fragmented.mp4": {"container_options": {"movflags": "frag_keyframe+empty_moov"}},
    "interlaced.mpg": MPEG2 | {"options": {"flags": "+ilme+ildct"}},
    "interlaced.mp4": {"options": {"x264-params": "interlaced=1"}, "size": (160, 128)},
    "open_gop.mkv": {"options": {"x264-params": "open-gop=1:keyint=12:bframes=3"}},
    "b_pyramid.mp4": {"options": {"x264-params": "b-pyramid=normal:bframes=8:ref=8:b-adapt=0"}},
    "intra_refresh.mp4": {"options": {"x264-params": "intra-refresh=1:keyint=25"}},
    "hevc_10_bit.mp4": {"codec": "libx265", "pixels": "yuv420p10le", "options": {"x265-params": "log-level=none", "preset": "ultrafast"}},
    "full_chroma.mp4": {"pixels": "yuv444p", "size": (181, 97)},
    "bt709.mp4": {"matrix": 1},
    "bt601.mp4": {"matrix": 5},
    "full_range.mp4": {"matrix": 1, "full_range": True},
    "alpha.mov": {"codec": "prores_ks", "pixels": "yuva444p10le", "audio_codec": "pcm_s24le", "rate_hz": 96000},
    "one_a_second.mp4": {"fps": 1, "seconds": 5.0},
    "120_a_second.mp4": {"fps": 120},
    "ntsc.mkv": {"fps": Fraction(30000, 1001)},
    "odd_clock.mp4": {"clock": Fraction(1, 12345)},
    "windows.wmv": {"codec": "wmv2", "audio_codec": "wmav2", "bit_rate": 128000},
    "av1.mp4": {"codec": "libsvtav1", "options": {"preset": "12", "crf": "20", "svtav1-params": "lp=1"}},
    "telephone.mov": {"audio_codec": "pcm_alaw", "rate_hz": 8000},
    "loud_float.mov": {"audio_codec": "pcm_f32le", "rate_hz": 48000, "level": 1.5},
}


@pytest.fixture(scope="module")
def odd_clip(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    folder = tmp_path_factory.mktemp("odd")

    def made(name: str) -> Path:
        return folder / name if (folder / name).exists() else write_odd_clip(folder / name, **FORMATS[name])

    return made


def reference(path: Path, moments_sec: np.ndarray) -> list[np.ndarray]:
    """Every frame decoded in order, then picked by time, without any of the stage's code but the tolerance."""
    with av.open(str(path)) as container:
        video = container.streams.best("video")
        shown = [(float(frame.pts * video.time_base), frame.to_ndarray(format="rgb24")) for frame in container.decode(video)]
    zero = shown[0][0]
    return [[picture for time, picture in shown if time - zero <= moment + TOLERANCE_SEC][-1] for moment in moments_sec]


def pictures(path: Path, start_sec: float, fps: int, count: int) -> list[np.ndarray]:
    with PyavReader(path) as video:
        return list(video.pictures(start_sec, fps, count))


def sound(path: Path, start_sec: float, seconds: float) -> np.ndarray:
    with PyavReader(path) as video:
        return read_waveform(path, video.zero_sec, start_sec, seconds, RATE)


def click_sec(wave: np.ndarray) -> float:
    """Where a tone of 2 kHz sets in."""
    loudness = np.abs(np.convolve(wave * np.exp(-2j * np.pi * 2000 * np.arange(len(wave)) / RATE), np.ones(64) / 64, "same"))
    return float(np.flatnonzero(loudness > 0.5 * loudness.max())[0]) / RATE


@pytest.mark.parametrize("name", FORMATS)
def test_flash_and_click_come_together_in_every_format(name: str, odd_clip: Callable[[str], Path]) -> None:
    path, fps = odd_clip(name), FORMATS[name].get("fps", FPS)
    flash_sec = next(k / 100 for k, picture in enumerate(pictures(path, 0.0, 100, 200)) if picture.mean() > 200)
    assert flash_sec == pytest.approx(float(np.ceil(EVENT_SEC * fps - 1e-6) / fps), abs=0.0101)
    assert click_sec(sound(path, 0.0, 3.0)) == pytest.approx(EVENT_SEC, abs=0.02)
    assert click_sec(sound(path, 0.7, 1.0)) == pytest.approx(EVENT_SEC - 0.7, abs=0.02)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("start_sec", [0.0, 1.16, 2.12])
def test_pictures_equal_a_sequential_reference(name: str, start_sec: float, odd_clip: Callable[[str], Path]) -> None:
    path = odd_clip(name)
    for fps, count in ((4, 3), (10, 9), (50, 40)):
        expected = reference(path, start_sec + np.arange(count) / fps)
        for k, (got, wanted) in enumerate(zip(pictures(path, start_sec, fps, count), expected, strict=True)):
            assert np.array_equal(got, wanted), (fps, k)


COLOURED = ["bt709.mp4", "bt601.mp4", "full_range.mp4", "motion_jpeg.avi", "alpha.mov", "hevc_10_bit.mp4", "plain.mp4"]


@pytest.mark.parametrize("name", COLOURED)
def test_colours_are_those_of_the_scene(name: str, odd_clip: Callable[[str], Path]) -> None:
    picture = pictures(odd_clip(name), 0.0, 10, 1)[0]
    assert np.abs(np.median(picture[11:21, 3:13], axis=(0, 1)) - COLOUR).max() <= 10
    assert np.abs(np.median(picture[50:80, 100:150], axis=(0, 1)) - 40).max() <= 3


@pytest.mark.parametrize("name", ["open_gop.mkv", "b_pyramid.mp4", "plain.mp4", "late_sound.mkv"])
def test_decord_steps_over_key_frames_without_a_seek(name: str, odd_clip: Callable[[str], Path]) -> None:
    pytest.importorskip("decord")
    path = odd_clip(name)
    for fps, count in ((2, 6), (4, 12), (10, 31)):
        with DecordReader(path) as video:
            found = list(video.pictures(0.0, fps, count))
        assert all(np.array_equal(a, b) for a, b in zip(found, reference(path, np.arange(count) / fps), strict=True)), fps


@pytest.mark.parametrize("layout, click_channels, level", [("stereo", [0], 1 / 2), ("5.1", [2], 1 / 6), ("5.1", range(6), 1.0)])
def test_sound_is_the_mean_of_all_channels(layout: str, click_channels: list[int], level: float, tmp_path: Path) -> None:
    own = {"audio_codec": "pcm_f32le", "rate_hz": 48000, "layout": layout, "click_channels": click_channels}
    path = write_odd_clip(tmp_path / "clip.mov", level=0, **own)
    assert np.abs(sound(path, 0.5, 1.0)).max() == pytest.approx(0.6 * level, rel=0.03)


def test_a_cover_picture_and_another_sound_beside_are_left_alone(tmp_path: Path) -> None:
    plain, music, full = (tmp_path / name for name in ("plain.mp4", "music.mp4", "full.mp4"))
    write_odd_clip(plain)
    write_odd_clip(music, click_channels=[])
    with av.open(str(plain)) as source, av.open(str(music)) as other, av.open(str(full), "w") as target:
        streams = {stream: target.add_stream_from_template(stream) for stream in (*source.streams, other.streams.audio[0])}
        cover = target.add_stream("png", rate=1)
        cover.width, cover.height, cover.pix_fmt, cover.disposition = 640, 640, "rgb24", av.stream.Disposition.attached_pic
        still = av.VideoFrame.from_ndarray(np.full((640, 640, 3), 99, np.uint8), format="rgb24")
        packets = [*source.demux(*source.streams), *other.demux(other.streams.audio[0]), *cover.encode(still), *cover.encode(None)]
        for packet in packets:
            if packet.dts is not None:
                packet.stream = streams.get(packet.stream, cover)
                target.mux(packet)
    found, _ = probe(full)
    assert (found.width_px, found.frames, found.video_streams, found.audio_streams) == (160, 80, 1, 2)
    assert click_sec(sound(full, 0.0, 2.0)) == pytest.approx(EVENT_SEC, abs=0.02)
    assert all(np.array_equal(a, b) for a, b in zip(pictures(full, 0.0, 10, 30), pictures(plain, 0.0, 10, 30), strict=True))


def test_sound_that_contradicts_its_times_is_refused(tmp_path: Path) -> None:
    """Half of the pieces lost, evenly: no way of laying the rest is in step with the picture."""
    write_odd_clip(tmp_path / "whole.mp4", seconds=5.0)
    with av.open(str(tmp_path / "whole.mp4")) as source, av.open(str(tmp_path / "lost.mkv"), "w") as target:
        streams = {stream: target.add_stream_from_template(stream) for stream in source.streams}
        for packet in source.demux(*source.streams):
            if packet.dts is not None and (packet.stream.type == "video" or packet.dts // 1024 % 2):
                packet.stream = streams[packet.stream]
                target.mux(packet)
    with pytest.raises(RejectedFile, match="the times of the sound and its length contradict each other"):
        probe(tmp_path / "lost.mkv")


@pytest.mark.parametrize("edits, flash_sec, click", [
    ({"soun": [(2.7, 0.5)]}, 1.0, 0.5),                              # the first half second of the sound is cut away
    ({"vide": [(2.8, 0.08 + 0.4)]}, 0.6, 1.0),                       # ten frames are, from the middle of a GOP
    ({"vide": [(2.8, 0.08 + 0.4)], "soun": [(2.8, 0.4)]}, 0.6, 0.6),
    ({"soun": [(0.5, -1), (3.2, 0.0)]}, 1.0, 1.5),                   # the sound is held back
    ({"vide": [(0.48, -1), (3.2, 0.08)]}, 1.0, 0.52),                # the picture is
])
def test_edit_lists_are_obeyed(edits: dict[str, list[tuple[float, float]]], flash_sec: float, click: float, tmp_path: Path) -> None:
    path = write_odd_clip(tmp_path / "clip.mp4", audio_codec="alac")
    set_edit_lists(path, edits)
    bright = [picture.mean() > 200 for picture in pictures(path, 0.0, FPS, 60)]
    assert bright.index(True) / FPS == pytest.approx(flash_sec, abs=0.001)
    assert click_sec(sound(path, 0.0, 2.4)) == pytest.approx(click, abs=0.02)


@pytest.mark.parametrize("name, options", [
    ("transport.ts", {"g": "100"}), ("transport_long.ts", {"g": "400"}), ("refresh.mp4", {"x264-params": "intra-refresh=1:keyint=50"}),
    ("open.mp4", {"x264-params": "open-gop=1:keyint=40"}), ("program.mpg", {}), ("sparse.mkv", {"g": "400"}),
])
def test_a_clip_deep_in_a_file_is_what_reading_through_gives(name: str, options: dict[str, str], tmp_path: Path) -> None:
    own = MPEG2 if name.endswith(".mpg") else {}
    path = write_odd_clip(tmp_path / name, seconds=16.0, **{**own, "options": options})
    whole, heard = reference(path, np.arange(155) / 10), sound(path, 0.0, 15.5)
    for start_sec in (1.1, 3.3, 9.3, 11.5, 13.7):
        first = round(start_sec * 10)
        found = pictures(path, start_sec, 10, 15)
        assert all(np.array_equal(a, b) for a, b in zip(found, whole[first:first + 15], strict=True)), start_sec
        part = sound(path, start_sec, 1.5)[200:-200]
        same = heard[round(start_sec * RATE):][200:200 + len(part)]
        assert np.abs(part - same).max() < 0.02, start_sec
