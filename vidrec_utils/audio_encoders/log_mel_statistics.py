"""The first audio encoder: statistics of the log-mel spectrogram, and of rhythm and harmony."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

from vidrec_utils.audio_encoders.spectra import (
    autocorrelation,
    chroma,
    key_correlations,
    log_mel,
    onset_strength,
)
from vidrec_utils.encoders import Entry, SoundContract, WeightsInfo

Sounds: TypeAlias = Sequence[np.ndarray]

N_MELS, WINDOW, HOP, N_FFT = 40, 400, 160, 512
"""Bands; samples of a window (25 ms) and from one to the next (10 ms), and of the transform."""

LAGS = np.arange(20, 120).reshape(25, 4)
"""Distances of beats, in hops: .2 to 1.2 s (300 to 50 beats a minute), in steps of 40 ms."""

CLASSES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
MOST_S = 120.0
"""Seconds of a sound that are read, from its beginning."""


class LogMelEncoder:
    """Statistics over time of a sound's log-mel spectrogram, its rhythm and its harmony.

    Nothing was trained, and each number of a vector has a meaning; `features` names them. With the
    spectrogram S[t, m] in units of 10 dB (`spectra.log_mel`), its mean over all t and m, and the
    onset strength o[t] (`spectra.onset_strength`), a vector holds:

    - `mel_mean` (40): the mean over time of each band, less the mean of all bands: the timbre,
      whatever the level;
    - `mel_std` (40): the standard deviation over time of each band;
    - `mel_change` (40): the mean absolute difference between neighbouring frames of each band;
    - `level` and `level_std`: log10 of the mean square of the samples (-10 for silence), and the
      standard deviation over time of the frames' log10 power;
    - `flatness`: the mean over time of log10 of the geometric by the arithmetic mean of the bands;
      0 for noise, lower for tones (Gray, Markel 1974);
    - `onset_mean`, `onset_std`, `onsets_per_s`: mean and standard deviation of o, and how many of
      its local maxima in a second are above the mean by more than a standard deviation;
    - `rhythm` (25): the autocorrelation of o at lags of .2 to 1.2 s, the highest within each
      40 ms: at the distance of its beats it is high (`spectra.autocorrelation`);
    - `chroma` (12): shares of the pitch classes from C to B (`spectra.chroma`);
    - `tonic` (12): the same, from the tonic of the key that fits best on: the harmony, whatever
      the key;
    - `major`, `minor`: how well the best major and the best minor key fit
      (`spectra.key_correlations`).

    The units differ, so standardise columns before distances are taken, as `embeddings.join` does.
    A lag that a short sound cannot show is 0, and silence is 0 in everything but its level.

    Attributes
    ----------
    name, modality, dim, parameters, weights
        See `vidrec_utils.encoders.Encoder`.
    features : tuple of str
        What each number of a vector is, such as `"mel_mean 0"` or `"chroma A"`.
    sound_contract : SoundContract
        16,000 samples a second, at most 120 s.

    References
    ----------
    Davis, Mermelstein: Comparison of parametric representations for monosyllabic word recognition
    in continuously spoken sentences. IEEE Transactions on Acoustics, Speech, and Signal Processing
    28(4), 1980. Tzanetakis, Cook: Musical genre classification of audio signals. IEEE Transactions
    on Speech and Audio Processing 10(5), 2002 (statistics of timbre, rhythm and pitch). Gray,
    Markel: A spectral-flatness measure for studying the autocorrelation method of linear prediction
    of speech. IEEE Transactions on Acoustics, Speech, and Signal Processing 22(3), 1974.

    Examples
    --------
    A tone of 440 Hz, an A, twice a second:

    >>> times = np.arange(4 * 16_000) / 16_000
    >>> beats = np.sin(2 * np.pi * 440 * times) * np.exp(-8 * (times % 0.5))
    >>> encoder = LogMelEncoder()
    >>> vector = dict(zip(encoder.features, encoder.encode([beats])[0], strict=True))
    >>> max(("chroma A", "chroma B", "chroma C"), key=vector.get)
    'chroma A'
    >>> max((f for f in vector if f.startswith("rhythm")), key=vector.get)
    'rhythm 0.48 s'
    """

    name = "log_mel"
    modality = "audio"
    parameters = 0
    weights = WeightsInfo(source="none")
    sound_contract = SoundContract(rate=16_000, most_s=MOST_S)
    features: tuple[str, ...] = (
        *(f"mel_mean {band}" for band in range(N_MELS)),
        *(f"mel_std {band}" for band in range(N_MELS)),
        *(f"mel_change {band}" for band in range(N_MELS)),
        *("level", "level_std", "flatness", "onset_mean", "onset_std", "onsets_per_s"),
        *(f"rhythm {lag * HOP / 16_000:.2f} s" for lag in LAGS[:, 0]),
        *(f"chroma {name}" for name in CLASSES),
        *(f"tonic +{step}" for step in range(12)),
        *("major", "minor"),
    )
    dim = len(features)

    @property
    def preprocessing(self) -> dict[str, object]:
        """How spectra are made, for the record."""
        return {
            "rate": self.sound_contract.rate,
            "most_s": self.sound_contract.most_s,
            "n_mels": N_MELS,
            "window": WINDOW,
            "hop": HOP,
            "n_fft": N_FFT,
            "mel": "HTK",
            "version": 1,
        }

    @property
    def values_per_item(self) -> int:
        """Samples of the longest sound that is read."""
        return self.sound_contract.n_values

    @property
    def fingerprint(self) -> str:
        """Digest of the name, the features and how spectra are made."""
        description = json.dumps([self.name, self.features, self.preprocessing], sort_keys=True)
        return hashlib.sha256(description.encode()).hexdigest()

    def encode(self, sounds: Sounds) -> np.ndarray:
        """Vectors of sounds.

        Parameters
        ----------
        sounds : sequence of ndarray, each of shape (samples,)
            One channel, 16,000 samples a second, from -1 to 1, as `video_io.read_sound` gives it.
            A tenth of a second is enough; what is shorter is followed by silence.

        Returns
        -------
        ndarray of float32, shape (n, dim)
            Finite, for silence, too.

        Raises
        ------
        TypeError
            If one array is given instead of a list, or an item is no array of floating-point
            numbers in one channel; the message says which.
        ValueError
            If a sound has no samples, or holds NaN or infinity.
        """
        vectors = [_statistics(sound) for sound in checked_sounds(sounds)]
        return np.array(vectors, dtype=np.float32).reshape(len(vectors), self.dim)


def checked_sounds(sounds: Sounds) -> list[np.ndarray]:
    """Return sounds as a list of float64 arrays of one channel.

    Raises
    ------
    TypeError
        If one array is given instead of a list, or an item is no array of floating-point numbers in
        one channel.
    ValueError
        If a sound has no samples, or holds NaN or infinity.
    """
    if isinstance(sounds, np.ndarray) and sounds.ndim == 1 and sounds.dtype != object:
        raise TypeError("One sound was given instead of a list: encode([sound]).")
    checked = []
    for position, sound in enumerate(sounds):
        sound = np.asarray(sound)
        if sound.ndim != 1 or not np.issubdtype(sound.dtype, np.floating):
            raise TypeError(
                f"Sound {position} is {sound.dtype} of shape {sound.shape}; give floating-point "
                "numbers from -1 to 1 of shape (samples,): video_io.read_sound(path).samples."
            )
        if not len(sound):
            raise ValueError(f"Sound {position} has no samples; leave it out.")
        if not np.isfinite(sound).all():
            raise ValueError(f"Sound {position} holds NaN or infinity; leave it out.")
        checked.append(sound.astype(np.float64))
    return checked


def _statistics(samples: np.ndarray) -> np.ndarray:
    """The vector of one sound, float64 `(dim,)`, in the order of `features`."""
    spectrogram = log_mel(samples, n_mels=N_MELS, window=WINDOW, hop=HOP, n_fft=N_FFT)
    power = 10.0**spectrogram  # (frames, n_mels)
    loudness = np.log10(power.mean(axis=1))  # (frames,)
    change = np.abs(np.diff(spectrogram, axis=0))  # (frames - 1, n_mels)
    onsets = onset_strength(spectrogram)  # (frames - 1,)
    if not len(onsets):  # one frame
        change, onsets = np.zeros((1, N_MELS)), np.zeros(1)
    seconds = len(onsets) * HOP / 16_000
    classes = chroma(samples)
    fit = key_correlations(classes)  # (2, 12): major and minor keys
    tonic = int(fit.max(axis=0).argmax())
    return np.concatenate(
        [
            spectrogram.mean(axis=0) - spectrogram.mean(),
            spectrogram.std(axis=0),
            change.mean(axis=0),
            [np.log10(max(np.mean(samples**2), 1e-10)), loudness.std()],
            [np.mean(spectrogram.mean(axis=1) - loudness)],
            [onsets.mean(), onsets.std(), _peaks(onsets) / seconds],
            autocorrelation(onsets, LAGS.ravel()).reshape(LAGS.shape).max(axis=1),
            classes,
            np.roll(classes, -tonic),
            fit.max(axis=1),
        ]
    )


def _peaks(onsets: np.ndarray) -> int:
    """How many local maxima are above the mean by more than a standard deviation."""
    inner = onsets[1:-1]
    high = inner > onsets.mean() + onsets.std()
    return int((high & (inner > onsets[:-2]) & (inner >= onsets[2:])).sum())


ENTRY = Entry(
    name="log_mel",
    about={
        "family": "log-mel statistics",
        "year": 1980,
        "parameters": 0,
        "dim": LogMelEncoder.dim,
        "rate": LogMelEncoder.sound_contract.rate,
    },
    loader=lambda request: LogMelEncoder(),
)
