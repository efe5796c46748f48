"""Audio encoders: from the sound of a video to a vector.

`load("log_mel")` describes timbre, level, rhythm and harmony by statistics of the log-mel
spectrogram. It has learned nothing and needs no weights; its `features` say what each number means.
`available()` is the catalogue. `video_io.read_sound` reads what encoders take, and
`embeddings.embed(library, encoder, of="sound")` computes and keeps the vectors of a library.

`spectra` holds the steps: the short-time Fourier transform, the mel filter bank, onsets and pitch
classes, each a few lines of NumPy.
"""

from vidrec_utils.audio_encoders.catalogue import available, load
from vidrec_utils.audio_encoders.log_mel_statistics import LogMelEncoder
from vidrec_utils.audio_encoders.spectra import (
    autocorrelation,
    chroma,
    hz_to_mel,
    key_correlations,
    log_mel,
    mel_filter_bank,
    mel_to_hz,
    onset_strength,
    power_spectra,
)

__all__ = [
    "LogMelEncoder",
    "autocorrelation",
    "available",
    "chroma",
    "hz_to_mel",
    "key_correlations",
    "load",
    "log_mel",
    "mel_filter_bank",
    "mel_to_hz",
    "onset_strength",
    "power_spectra",
]
