"""From samples to spectra: short-time Fourier transform, mel filter bank, onsets and pitch classes.

Each function is one step of what speech and music research has used since 1980, in NumPy. Arrays
have one row for each frame: a frame is a window of the sound, and windows follow each other by a
hop.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from vidrec_utils import arguments

FLOOR = 1e-10
"""Power below which everything is silence: 100 dB below a tone of full scale."""

RANGE = 1e-6
"""Share of a sound's loudest power below which its other powers count as no more: 60 dB."""

CHUNK = 1024
"""Frames that are transformed at once, so that a long sound takes no more memory than it has to."""

MIN_OVERLAP = 20
"""Frames that an autocorrelation compares, at the least: .2 s at a hop of 10 ms."""

MAJOR = (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88)
MINOR = (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17)
"""How well each pitch class fits into a major and a minor key, from the tonic upwards (Krumhansl
and Kessler 1982)."""


def hz_to_mel(hz: np.ndarray | float) -> np.ndarray:
    """Pitch of frequencies on the mel scale.

    `mel = 2595 log10(1 + hz / 700)`, the formula of O'Shaughnessy and of the Hidden Markov Model
    Toolkit (HTK): equal steps of mel sound equally wide, and 1,000 Hz are 1,000 mel. Slaney's
    variant, which is linear below 1,000 Hz, is another scale.

    Parameters
    ----------
    hz : ndarray or float
        Frequencies.

    References
    ----------
    Stevens, Volkmann, Newman: A scale for the measurement of the psychological magnitude pitch.
    Journal of the Acoustical Society of America 8, 1937. O'Shaughnessy: Speech communication, 1987,
    page 150.

    Examples
    --------
    >>> hz_to_mel(np.array([0.0, 1000.0, 8000.0])).round(1).tolist()
    [0.0, 1000.0, 2840.0]
    """
    return 2595.0 * np.log10(1.0 + np.asarray(hz) / 700.0)


def mel_to_hz(mel: np.ndarray | float) -> np.ndarray:
    """Frequencies of pitches on the mel scale: the inverse of `hz_to_mel`.

    Parameters
    ----------
    mel : ndarray or float
        Pitches.

    Examples
    --------
    >>> float(mel_to_hz(hz_to_mel(440.0)).round(6))
    440.0
    """
    return 700.0 * (10.0 ** (np.asarray(mel) / 2595.0) - 1.0)


def mel_filter_bank(
    n_mels: int, n_fft: int, rate: int, low_hz: float = 0.0, high_hz: float | None = None
) -> np.ndarray:
    """Triangular filters, equally wide on the mel scale, each overlapping the half of the next.

    Filter m rises from 0 at frequency f[m - 1] to 1 at f[m] and falls to 0 at f[m + 1], where the
    f are equally spaced in mel (Davis and Mermelstein; peaks of 1, as in HTK, not areas of 1).

    Parameters
    ----------
    n_mels : int
        Number of filters.
    n_fft : int
        Samples that are transformed at once.
    rate : int
        Samples a second.
    low_hz, high_hz : float
        Where the first filter begins and the last one ends; by default 0 and half the rate.

    Returns
    -------
    ndarray of float64, shape (n_mels, n_fft // 2 + 1)

    Raises
    ------
    ValueError
        If a filter is so narrow that no frequency of the transform lies in it: ask for fewer, or
        for a longer transform.

    References
    ----------
    Davis, Mermelstein: Comparison of parametric representations for monosyllabic word recognition
    in continuously spoken sentences. IEEE Transactions on Acoustics, Speech, and Signal Processing
    28(4), 1980.

    Examples
    --------
    >>> bank = mel_filter_bank(n_mels=3, n_fft=16, rate=16_000)
    >>> bank.shape, bank.argmax(axis=1).tolist()  # the peaks are at .6, 1.8 and 4 kHz
    ((3, 9), [1, 2, 4])
    """
    arguments.at_least(1, n_mels=n_mels, n_fft=n_fft, rate=rate)
    high_hz = rate / 2 if high_hz is None else high_hz
    # the corners of the triangles, equally spaced in mel
    corners = mel_to_hz(np.linspace(hz_to_mel(low_hz), hz_to_mel(high_hz), n_mels + 2))
    hz = np.arange(n_fft // 2 + 1) * rate / n_fft  # frequency of each bin of the transform
    left, peak, right = (corners[i : i + n_mels, None] for i in range(3))  # (n_mels, 1)
    rising, falling = (hz - left) / (peak - left), (right - hz) / (right - peak)
    bank = np.maximum(0.0, np.minimum(rising, falling))  # (n_mels, bins)
    empty = np.flatnonzero(bank.max(axis=1) == 0)
    if len(empty):
        raise ValueError(
            f"{len(empty)} of {n_mels} mel filters hold no frequency of a transform of {n_fft} "
            f"samples at {rate} samples a second, the first of them number {empty[0]}. Ask for "
            "fewer filters or a longer transform."
        )
    return bank


def power_spectra(samples: np.ndarray, window: int, hop: int, n_fft: int) -> Iterator[np.ndarray]:
    """Short-time Fourier transform: the power at each frequency, frame by frame.

    Each frame is weighted with Hann's window w, so that its ends do not matter:
    `P[t, f] = |sum_n w[n] x[t hop + n] exp(-2 pi i f n / n_fft)|^2 / (sum_n w[n] / 2)^2`. A tone of
    amplitude a in the middle of a bin has the power a^2. What is left at the end after the last
    whole window is not seen; a sound shorter than one window is followed by silence.

    Parameters
    ----------
    samples : ndarray, shape (n,)
        The sound.
    window : int
        Samples in a frame.
    hop : int
        Samples from one frame to the next.
    n_fft : int
        Samples that are transformed; frames are followed by zeros up to here.

    Yields
    ------
    ndarray of float64, shape (frames, n_fft // 2 + 1)
        At most `CHUNK` frames at a time.

    Examples
    --------
    >>> tone = np.sin(2 * np.pi * 1000 * np.arange(512) / 16_000)
    >>> [power] = power_spectra(tone, window=256, hop=128, n_fft=256)
    >>> power.shape, power.argmax(axis=1).tolist()  # bin 16 is 1,000 Hz
    ((3, 129), [16, 16, 16])
    """
    if len(samples) < window:
        samples = np.pad(samples, (0, window - len(samples)))
    # w[n] = (1 - cos(2 pi n / N)) / 2, the periodic form
    weights = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
    frames = np.lib.stride_tricks.sliding_window_view(samples, window)[::hop]  # (frames, window)
    for start in range(0, len(frames), CHUNK):
        spectrum = np.fft.rfft(frames[start : start + CHUNK] * weights, n_fft, axis=1)
        yield (spectrum.real**2 + spectrum.imag**2) / (weights.sum() / 2) ** 2


def log_mel(
    samples: np.ndarray,
    rate: int = 16_000,
    n_mels: int = 40,
    window: int = 400,
    hop: int = 160,
    n_fft: int = 512,
) -> np.ndarray:
    """Log-mel spectrogram: how loud a sound is in each band, frame by frame.

    `S[t, m] = log10(max(sum_f B[m, f] P[t, f], floor))`, with the filters B of `mel_filter_bank`
    and the power P of `power_spectra`. One unit is 10 dB. The floor is 60 dB below the loudest
    band of the sound, so that the same sound at another level has the same shape, and never below
    1e-10.

    Parameters
    ----------
    samples : ndarray, shape (n,)
        The sound.
    rate : int
        Samples a second.
    n_mels : int
        Number of bands.
    window, hop, n_fft : int
        As for `power_spectra`; by default windows of 25 ms every 10 ms, at 16,000 samples a second.

    Returns
    -------
    ndarray of float64, shape (frames, n_mels)

    Examples
    --------
    >>> tone = np.sin(2 * np.pi * 1000 * np.arange(16_000) / 16_000)
    >>> spectrogram = log_mel(tone)
    >>> spectrogram.shape, set(spectrogram.argmax(axis=1).tolist())  # the band around 1,000 mel
    ((98, 40), {13})
    """
    bank = mel_filter_bank(n_mels, n_fft, rate)
    # matrix products of each chunk: (frames, bins) times (bins, n_mels)
    power = np.concatenate([p @ bank.T for p in power_spectra(samples, window, hop, n_fft)])
    return np.log10(np.maximum(power, max(FLOOR, RANGE * power.max())))


def onset_strength(spectrogram: np.ndarray) -> np.ndarray:
    """How much louder a sound becomes from each frame to the next: where notes begin.

    `o[t] = mean_m max(0, S[t + 1, m] - S[t, m])`: only what rises counts, since notes begin louder
    than they end (spectral flux).

    Parameters
    ----------
    spectrogram : ndarray, shape (frames, bands)
        As `log_mel` gives it.

    Returns
    -------
    ndarray, shape (frames - 1,)

    References
    ----------
    Ellis: Beat tracking by dynamic programming. Journal of New Music Research 36(1), 2007,
    section 3.1.

    Examples
    --------
    >>> onset_strength(np.array([[0.0, 0.0], [2.0, 4.0], [1.0, 4.0]])).tolist()
    [3.0, 0.0]
    """
    return np.maximum(0.0, np.diff(spectrogram, axis=0)).mean(axis=1)


def autocorrelation(strength: np.ndarray, lags: np.ndarray) -> np.ndarray:
    """How much a curve is like itself some frames later: high at the distance of its beats.

    `r[k] = (1 / (T - k)) sum_t z[t] z[t + k]` for the standardised curve z of T frames. A lag that
    leaves fewer than `MIN_OVERLAP` frames to compare has 0, and so has a curve that never changes.

    Parameters
    ----------
    strength : ndarray, shape (frames,)
        As `onset_strength` gives it.
    lags : ndarray of int
        In frames.

    Returns
    -------
    ndarray of float64, shape (lags,)
        From -1 to 1, about.

    Examples
    --------
    >>> beats = np.tile([1.0, 0.0, 0.0, 0.0], 20)
    >>> autocorrelation(beats, np.array([2, 4, 79])).round(2).tolist()
    [-0.33, 1.0, 0.0]
    """
    spread = strength.std() if len(strength) else 0.0
    if spread < 1e-9:
        return np.zeros(len(lags))
    z = (strength - strength.mean()) / spread
    overlaps = len(z) - np.asarray(lags)
    return np.array(
        [z[:n] @ z[len(z) - n :] / n if n >= MIN_OVERLAP else 0.0 for n in overlaps.tolist()]
    )


def chroma(
    samples: np.ndarray,
    rate: int = 16_000,
    window: int = 4096,
    hop: int = 1600,
    low_hz: float = 110.0,
    high_hz: float = 4000.0,
) -> np.ndarray:
    """Share of each of the twelve pitch classes (C, C sharp, ..., B) in a sound.

    Frequency f belongs to class `(round(12 log2(f / 440)) + 9) mod 12`, whatever its octave: A is
    440 Hz and has number 9. The magnitudes (roots of the power) of all frames, divided by f, are
    added up for each class, and then divided by their sum. The division by f makes octaves count
    alike: a higher one has more frequencies of the transform.

    Parameters
    ----------
    samples : ndarray, shape (n,)
        The sound.
    rate : int
        Samples a second.
    window, hop : int
        As for `power_spectra`. The window is long (256 ms), for low notes to be told apart: bins
        are 3.9 Hz wide.
    low_hz, high_hz : float
        Frequencies outside are left out.

    Returns
    -------
    ndarray of float64, shape (12,)
        Sums to 1; zeros for silence.

    References
    ----------
    Fujishima: Realtime chord recognition of musical sound. International Computer Music Conference,
    1999.

    Examples
    --------
    >>> a = np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000)
    >>> int(chroma(a).argmax())
    9
    """
    hz = np.arange(window // 2 + 1) * rate / window
    kept = (hz >= low_hz) & (hz <= min(high_hz, rate / 2))
    classes = (np.round(12 * np.log2(hz[kept] / 440)).astype(int) + 9) % 12
    magnitudes = np.zeros(kept.sum())
    for power in power_spectra(samples, window, hop, window):
        magnitudes += np.sqrt(power[:, kept]).sum(axis=0)  # (bins,)
    if magnitudes.max(initial=0.0) < FLOOR**0.5:
        return np.zeros(12)
    total = np.bincount(classes, magnitudes / hz[kept], minlength=12)
    return total / total.sum()


def key_correlations(classes: np.ndarray) -> np.ndarray:
    """How well the pitch classes of a sound fit each of the 24 keys.

    Pearson's correlation of the twelve shares with the profile of each key: how well listeners
    found that each class fits into it.

    Parameters
    ----------
    classes : ndarray, shape (12,)
        As `chroma` gives it.

    Returns
    -------
    ndarray of float64, shape (2, 12)
        Major and minor keys on C, C sharp, ..., B; zeros for silence.

    References
    ----------
    Krumhansl, Kessler: Tracing the dynamic changes in perceived tonal organization in a spatial
    representation of musical keys. Psychological Review 89(4), 1982. Krumhansl: Cognitive
    foundations of musical pitch, 1990, chapter 4.

    Examples
    --------
    >>> c_major = np.isin(np.arange(12), [0, 2, 4, 5, 7, 9, 11]) / 7
    >>> fit = key_correlations(c_major)
    >>> [int(i) for i in np.unravel_index(fit.argmax(), fit.shape)]
    [0, 0]
    """
    centred = classes - classes.mean()
    if not centred.any():
        return np.zeros((2, 12))
    fit = np.empty((2, 12))
    for mode, profile in enumerate((MAJOR, MINOR)):
        weights = np.array(profile) - np.mean(profile)
        scale = np.linalg.norm(weights) * np.linalg.norm(centred)
        fit[mode] = [np.roll(weights, tonic) @ centred / scale for tonic in range(12)]
    return fit
