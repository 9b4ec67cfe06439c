"""One evaluation: the sets of real windows, the extractors, and what is measured of each task's samples."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from pipeline.contracts.audio_image_shards import gray_array, read_audio_images
from pipeline.contracts.clips import class_names, read_clips
from pipeline.contracts.events import read_events
from pipeline.contracts.outputs import Work
from pipeline.contracts.windows import window_key
from pipeline.errors import DataError
from pipeline.params import AudioParams, ClipParams, ComputeParams, EvaluateParams
from pipeline.pretrained import resolve
from pipeline.training import pick_device
from stages.evaluate.distances import RealFeatures, distance_figures, metric_names, reconstruction_figures
from stages.evaluate.extractors import I3D, I3D_MIN_FRAMES, Extractor, LocalExtractor, Modality, features_of
from stages.evaluate.figures import Figure, Figures, NotComputable
from stages.evaluate.reconstruction import psnr_db, ssim
from stages.evaluate.synchrony import NAMES, TRUTH_NAMES, require_known_events, synchrony_figures
from stages.evaluate.train_classifiers import load_training_inputs, train_classifier
from stages.evaluate.windows import Place, RealWindows, SampleWindows, WindowSet, halves, sources_of, spread

GENERATED: dict[str, tuple[Modality, ...]] = {
    "svg": ("video", "audio"), "a2v": ("video",), "v2a": ("audio",), "i2a": ("audio",), "v": ("video",), "a": ("audio",),
    "audio_continuation": ("video", "audio"), "video_continuation": ("video", "audio")}
"""What each task generates; the other modality is its condition (or left out) and is not measured."""
ONE_MODALITY = ("v", "a", "i2a")
"""Tasks in which nothing could be in time: no sound, no picture, or one that stands still."""
ORIGINALS = "their own originals, held out"
I3D_NEEDS = ("needs an I3D as TorchScript; set evaluate.i3d.source to a local file, or to the hub id flateon/FVD-I3D-torchscript "
             "with its revision")


class Measure:
    """Trains the local extractors, takes features of the real windows once, and fills `figures`."""

    def __init__(self, seed: int, clip: ClipParams, audio: AudioParams, compute: ComputeParams, evaluate: EvaluateParams, *,
                 decode: Path, inventory: Path, demo_data: Path, work: Work) -> None:
        self.seed, self.clip, self.audio, self.evaluate, self.decode = seed, clip, audio, evaluate, decode
        self.figures = Figures()
        self.clips = read_clips(inventory)
        self.class_names = class_names(self.clips)
        self.events = read_events(demo_data)
        self.no_i3d = I3D_NEEDS
        i3d = None if evaluate.i3d.source is None else I3D(resolve(evaluate.i3d, "evaluate.i3d"), pick_device(compute))
        training = self._real("train", spread(sources_of(decode, "train"), evaluate.max_train_windows, clip, seed))
        if not len(training):
            raise DataError(f"{decode} holds no training window of {clip.num_frames} frames; add clips of {clip.window_sec:g} s or more, "
                            "or lower clip.num_frames")
        inputs = load_training_inputs(training, audio.sample_rate_hz)
        modalities: tuple[Modality, ...] = ("video", "audio")
        self.local = {
            modality: LocalExtractor(train_classifier(modality, inputs, len(self.class_names), evaluate.classifier_train, seed=seed,
                                                      compute=compute, work=work), modality, audio.sample_rate_hz)
            for modality in modalities
        }
        self.extractors: list[Extractor] = list(self.local.values())
        if i3d is not None:
            self._add_i3d(i3d)
        compared, floor = halves(sources_of(decode, "test"), seed)
        self.compared_with = f"held-out clips of {len(compared)} sources (floor: of {len(floor)} others)"
        self.reference = self._real("test", spread(compared, evaluate.max_windows, clip, seed))
        self.floor = self._real("test", spread(floor, evaluate.max_windows, clip, seed))
        self.real = {extractor: RealFeatures(features_of(extractor, self.reference), features_of(extractor, self.floor))
                     for extractor in self.extractors}

    def held_out(self) -> None:
        """What the measures say of held-out real windows: the worth of their verdict on samples."""
        for modality, extractor in self.local.items():
            self._accuracy("real", modality, self.real[extractor].reference, [w.class_id for w in self.reference])
        self._synchrony("real", self.reference, self._true_events(self.reference))

    def samples(self, task: str, samples: SampleWindows) -> None:
        """Distances and class accuracy of the modalities that `task` generates."""
        for extractor in self._seeing(GENERATED[task]):
            features = features_of(extractor, samples)
            shared = "" if task == "svg" else "; about half of the conditions come from these sources, the floor's do not"
            template = self._template(task, extractor, self.compared_with + shared)
            self.figures.add(task, metric_names(extractor.modality, extractor.name), partial(
                distance_figures, features, self.real[extractor], template, extractor.modality, self.evaluate.min_samples))
            if isinstance(extractor, LocalExtractor):
                self._accuracy(task, extractor.modality, features, samples.class_ids)
        if "video" in GENERATED[task]:
            self._miss_i3d(task)
        if task not in ONE_MODALITY:
            self._synchrony(task, samples)

    def reconstructions(self, samples: SampleWindows, audio_images: Path) -> None:
        """Likeness of reconstructions to their originals: picture by picture, and as a set."""
        task = "reconstruction"
        places = [Place(str(clip_id), int(start)) for clip_id, start in
                  zip(samples.rows["condition_clip_id"], samples.rows["condition_start_frame"], strict=True)]
        originals = self._real("test", places)
        self.figures.add(task, ["psnr_db", "ssim"], lambda: self._frame_likeness(samples, originals))
        self.figures.add(task, ["audio_image_psnr_db", "audio_image_ssim"],
                         lambda: self._audio_image_likeness(samples, places, audio_images))
        for extractor in self.extractors:
            features, true_features = features_of(extractor, samples), features_of(extractor, originals)
            template = self._template(task, extractor, ORIGINALS)
            self.figures.add(task, metric_names(extractor.modality, extractor.name, "r"), partial(
                reconstruction_figures, features, true_features, self.real[extractor], template, extractor.modality,
                self.evaluate.min_samples))
            if isinstance(extractor, LocalExtractor):
                self._accuracy(task, extractor.modality, features, samples.class_ids)
        self._miss_i3d(task, "r")
        self._synchrony(task, samples)

    def _accuracy(self, task: str, modality: Modality, features: np.ndarray, class_ids: Sequence[int]) -> None:
        """Share of windows that the local classifier takes for the class asked for; the floor is chance."""
        extractor, name, classes = self.local[modality], f"{modality}_class_accuracy_local", len(self.class_names)

        def compute() -> list[Figure]:
            if classes < 2:
                raise NotComputable("needs two classes or more, data/inventory has one; add class folders to data.raw")
            if min(class_ids, default=0) < 0:
                raise NotComputable("needs samples that were asked for a class; set dit.context to class")
            if not len(features):
                raise NotComputable("needs held-out windows; add clips, or raise inventory.test_share")
            if not np.isfinite(features).all():
                raise NotComputable("needs finite features; look at the samples on the report page")
            share = float((extractor.recognise(features) == np.array(class_ids)).mean())
            return [self._template(task, extractor, "class asked for").with_value(name, share, 1 / classes, "chance", len(features), 0)]

        self.figures.add(task, [name], compute)

    def _synchrony(self, task: str, windows: WindowSet, true_sec: list[np.ndarray] | None = None) -> None:
        def compute() -> list[Figure]:
            require_known_events(self.events, self.class_names)
            return synchrony_figures(windows, self.class_names, self._template(task, None, ""), clip=self.clip, audio=self.audio,
                                     tolerance_sec=self.evaluate.event_tolerance_sec, seed=self.seed, true_sec=true_sec)

        self.figures.add(task, NAMES if true_sec is None else NAMES + TRUTH_NAMES, compute)

    def _true_events(self, windows: RealWindows) -> list[np.ndarray]:
        """Of each window, the true event times in seconds from its beginning; times outside it are kept, a partner may lie there."""
        sources = dict(zip(self.clips["clip_id"], zip(self.clips["source_path"], self.clips["start_sec"], strict=True), strict=True))
        times = {path: group["time_sec"].to_numpy() for path, group in self.events.groupby("source_path")}
        found = []
        for place in windows.places:
            path, start_sec = sources[place.clip_id]
            found.append(times.get(path, np.zeros(0)) - start_sec - place.start_frame / self.clip.fps)
        return found

    def _frame_likeness(self, samples: SampleWindows, originals: RealWindows) -> list[Figure]:
        ratios, likenesses = [], []
        for sample, original in zip(samples, originals, strict=True):
            ratios.append(psnr_db(sample.frames[None], original.frames[None]))
            likenesses.append(ssim(sample.frames, original.frames))
        template = self._template("reconstruction", None, ORIGINALS)
        return [template.with_value(name, float(np.mean(values)), None, "", len(samples), len(samples))
                for name, values in (("psnr_db", ratios), ("ssim", likenesses))]

    def _audio_image_likeness(self, samples: SampleWindows, places: Sequence[Place], audio_images: Path) -> list[Figure]:
        """Between the mel images that the autoencoder gives and those made of the original sound."""
        reader = read_audio_images(audio_images, "test")
        rows = {key: i for i, key in enumerate(reader.keys)}
        keys = [window_key(place.clip_id, place.start_frame) for place in places]
        absent = [key for key in keys if key not in rows]
        if absent:
            raise DataError(f"{audio_images} has no window {absent[0]}, which data/sample reconstructs; run: dvc repro sample")
        ratios, likenesses = [], []
        for i, key in enumerate(keys):
            made, original = samples.load(i)[2][None], gray_array(reader[rows[key]]["gray"])[None]
            ratios.append(psnr_db(made, original))
            likenesses.append(ssim(made, original))
        template = self._template("reconstruction", None, ORIGINALS, sound_only=True)
        return [template.with_value(name, float(np.mean(values)), None, "", len(samples), len(samples))
                for name, values in (("audio_image_psnr_db", ratios), ("audio_image_ssim", likenesses))]

    def _template(self, task: str, extractor: Extractor | None, reference: str, sound_only: bool = False) -> Figure:
        sees_frames = not sound_only if extractor is None else extractor.modality == "video"
        template = Figure(name="", task=task, value=0.0, reference=reference, resolution_px=self.clip.frame_size_px if sees_frames else 0,
                          fps=self.clip.fps, num_frames=self.clip.num_frames)
        if extractor is None:
            return template
        return replace(template, extractor=extractor.name, weights=extractor.weights, input=extractor.input)

    def _seeing(self, modalities: Sequence[Modality]) -> list[Extractor]:
        return [extractor for extractor in self.extractors if extractor.modality in modalities]

    def _real(self, split: str, places: Sequence[Place]) -> RealWindows:
        return RealWindows(self.decode, split, places, self.clip, self.audio)

    def _add_i3d(self, i3d: I3D) -> None:
        if self.clip.num_frames >= I3D_MIN_FRAMES:
            self.extractors.append(i3d)
        else:
            self.no_i3d = f"needs windows of {I3D_MIN_FRAMES} frames or more, clip.num_frames is {self.clip.num_frames}"

    def _miss_i3d(self, task: str, prefix: str = "") -> None:
        """List the I3D's figures as absent when there is no I3D."""
        if not any(extractor.name == I3D.name for extractor in self.extractors):
            self.figures.miss(task, metric_names("video", I3D.name, prefix), self.no_i3d)
