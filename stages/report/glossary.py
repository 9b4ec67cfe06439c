"""What each figure means, in a sentence that needs no paper; longest matching beginning wins."""

MEANINGS = {
    "fvd_local": "Distance between generated and real pictures in motion, seen by the small classifier trained on this data. "
                 "Lower is better; real clips in the samples' place reach the floor. Not comparable with a published FVD.",
    "kvd_local": "The same comparison by a kernel; around zero (or below) means no difference was found.",
    "fad_local": "Distance between generated and real sound, heard by the small classifier trained on this data. Lower is better.",
    "fvd_": "Frechet distance between generated and real pictures in motion, seen by a published network. "
            "It depends on the number of samples.",
    "fvd_i3d": "Frechet video distance with the I3D network, as the papers report it. It depends on the number of samples.",
    "kvd_": "Kernel video distance, not multiplied by anything; around zero (or below) means no difference was found.",
    "fad_": "Frechet distance between generated and real sound, heard by a published network. It depends on the number of samples.",
    "fd_": "The same distance by the features of a sound classifier.",
    "precision_": "Share of the samples that are as near to a real clip as real clips are to each other.",
    "recall_": "Share of the real clips that a sample comes as near to as samples are to each other.",
    "coverage_": "Share of the real clips that have a sample nearby; low where only some kinds of clip are made.",
    "is_": "Inception score of the sound: how surely a classifier tells each sample, and how many classes occur. Higher is better.",
    "kl_": "How far the classes heard in a sample are from those of its real clip. The floor takes another clip's.",
    "rfvd": "Distance of reconstructions to their own originals; what the autoencoder loses, before any generation.",
    "rkvd": "The same by a kernel; near-perfect pairs come out below zero, as equal points count as evidence.",
    "rfad": "Distance of the reconstructed sound to the original sound.",
    "psnr_db": "How near reconstructed frames are to the originals, in decibels. 20 is rough, 30 is good, 40 is hard to tell apart.",
    "ssim": "Likeness of structure in the frames; 1 is equal.",
    "audio_image_psnr_db": "The same for the pictures of the sound (mel images).",
    "audio_image_ssim": "Likeness of structure in the pictures of the sound.",
    "video_class_accuracy": "How often the classifier sees the class that was asked for. The floor is guessing.",
    "audio_class_accuracy": "How often the classifier hears the class that was asked for. The floor is guessing.",
    "event_recall": "Share of the events seen (a landing, a flash) that are heard at the same time. "
                    "The floor pairs each picture with the sound of another source.",
    "event_precision": "Share of the sounds heard that have their event in the picture at the same time.",
    "av_align": "Do peaks of motion and beginnings of sounds coincide, within one frame? Their intersection over union, 1 at best. "
                "Works for any clips, but sees only motion and onsets.",
    "av_align_original": "The same as first published: onsets may share a peak, so that it can exceed 1. "
                         "Only to compare with older papers.",
    "beat_hit_rate_100ms": "Share of the true music's beats that the generated sound hits within 0.1 s. "
                           "Means something for music of some seconds.",
    "beat_hit_rate_500ms": "The same within half a second, which chance alone nearly fills; printed because papers print it.",
    "desync_": "By how many seconds sound and picture are out of step for a published network, 0 at best. "
               "The floor is that of pictures with sounds of other sources.",
    "cosine_": "How well sound and picture fit together for a published network, 1 at best; what matters is the distance to the floor.",
    "memorised_": "Share of samples that the memorisation audit flags as a training clip come back. The floor is its rate of false alarms: "
                  "what lies about there or below is no sign of copying.",
    "nearest_ratio_": "How near the nearest training clip is, against the next ones: near 1 a sample is as far from it as from others, "
                      "near 0 it is a copy. Held-out real clips reach the floor.",
    "seen_event": "How well the event detector finds the true events in real pictures; what it misses here it misses in samples too.",
    "heard_event": "How well the sound detector finds the true events in real sound.",
}
TASKS = {
    "svg": ("Picture and sound together",
            "Both are generated from noise for a class. The real clip beside each is of the same class, not its original."),
    "a2v": ("Picture for a given sound", "The sound of the real clip is given; the picture is generated."),
    "v2a": ("Sound for a given picture", "The picture of the real clip is given; the sound is generated."),
    "i2a": ("Sound for a still picture", "One frame of the real clip is given; the sound is generated."),
    "v": ("Picture alone", "The picture is generated for a class, without sound."),
    "a": ("Sound alone", "The sound is generated for a class, without picture."),
    "video_continuation": ("A picture continued",
                           "The picture of the real clip is given; picture and sound of what comes next are generated."),
    "audio_continuation": ("A sound continued",
                           "The sound of the real clip is given; picture and sound of what comes next are generated."),
    "long": ("Long videos", "The first window is generated for a class, each later one from the one before."),
    "reconstruction": ("Reconstruction", "The real clip through the autoencoder and back: the best that any sample can look and sound."),
    "real": ("Real held-out clips", "The same measures on clips that nothing was trained on: what the measures themselves are worth."),
}


def meaning(name: str) -> str:
    """The sentence of a figure, empty for an unknown one."""
    fitting = [key for key in MEANINGS if name.startswith(key)]
    return MEANINGS[max(fitting, key=len)] if fitting else ""
