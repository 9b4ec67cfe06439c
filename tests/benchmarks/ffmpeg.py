"""Where the `ffmpeg` command is."""

import importlib.util
import shutil
import subprocess
import sys


def find_ffmpeg() -> str:
    """The one on PATH, or the one that the package imageio-ffmpeg brings (BSD-2-Clause; its ffmpeg is under the GPL); says which.

    Raises:
        SystemExit: there is none.
    """
    found = shutil.which("ffmpeg")
    if found is None and importlib.util.find_spec("imageio_ffmpeg") is not None:
        import imageio_ffmpeg

        found = imageio_ffmpeg.get_ffmpeg_exe()
    if found is None:
        sys.exit('no ffmpeg on PATH; install it with your system\'s packages, or: pip install -e ".[bench]" (brings imageio-ffmpeg)')
    print(subprocess.run([found, "-version"], check=True, capture_output=True, text=True).stdout.splitlines()[0])
    return found
