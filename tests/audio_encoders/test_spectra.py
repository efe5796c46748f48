"""Spectra are compared with plain loops over their formulas, with SciPy, and with planted sound."""

import numpy as np
import pytest
from scipy import signal

from tests.helpers.sounds import sine
from vidrec_utils.audio_encoders import spectra

RATE = 16_000


def test_the_mel_scale_has_its_published_values():
    """Mel frequencies of O'Shaughnessy's formula, as the HTK book prints and uses it."""
    hz = np.array([0, 100, 200, 500, 1000, 2000, 4000, 8000])
    mel = [0, 150.49, 283.23, 607.45, 999.99, 1521.36, 2146.06, 2840.02]
    np.testing.assert_allclose(spectra.hz_to_mel(hz), mel, atol=0.01)
    np.testing.assert_allclose(spectra.mel_to_hz(spectra.hz_to_mel(hz)), hz, atol=1e-9)


@pytest.mark.parametrize(
    ("n_mels", "n_fft", "rate", "low", "high"),
    [(40, 512, 16_000, 0.0, None), (26, 1024, 44_100, 300.0, 8000.0), (3, 16, 8_000, 0.0, None)],
)
def test_the_filter_bank_is_that_of_a_plain_loop(n_mels, n_fft, rate, low, high):
    top = rate / 2 if high is None else high
    lowest, highest = (2595 * np.log10(1 + hz / 700) for hz in (low, top))
    corners = []
    for number in range(n_mels + 2):
        mel = lowest + (highest - lowest) * number / (n_mels + 1)
        corners.append(700 * (10 ** (mel / 2595) - 1))
    expected = np.zeros((n_mels, n_fft // 2 + 1))
    for m in range(n_mels):
        left, peak, right = corners[m : m + 3]
        for f in range(n_fft // 2 + 1):
            hz = f * rate / n_fft
            if left < hz <= peak:
                expected[m, f] = (hz - left) / (peak - left)
            elif peak < hz < right:
                expected[m, f] = (right - hz) / (right - peak)
    bank = spectra.mel_filter_bank(n_mels, n_fft, rate, low, high)
    np.testing.assert_allclose(bank, expected, atol=1e-12)


def test_neighbouring_filters_add_up_to_one():
    bank = spectra.mel_filter_bank(40, 512, RATE)
    centres = spectra.mel_to_hz(np.linspace(0, spectra.hz_to_mel(8000), 42))
    hz = np.arange(257) * RATE / 512
    between = (hz >= centres[1]) & (hz <= centres[-2])
    np.testing.assert_allclose(bank[:, between].sum(axis=0), 1.0)


def test_filters_without_a_frequency_are_refused():
    with pytest.raises(ValueError, match=r"1\d+ of 128 mel filters hold no frequency.*longer"):
        spectra.mel_filter_bank(128, 256, RATE)
    with pytest.raises(ValueError, match="n_mels is 0"):
        spectra.mel_filter_bank(0, 256, RATE)


def test_power_is_that_of_the_transform_by_its_definition():
    rng = np.random.default_rng(0)
    samples = rng.normal(size=100)
    window, hop, n_fft = 32, 12, 40
    [power] = spectra.power_spectra(samples, window, hop, n_fft)
    hann = [0.5 - 0.5 * np.cos(2 * np.pi * n / window) for n in range(window)]
    rows = []
    for start in range(0, len(samples) - window + 1, hop):
        row = []
        for f in range(n_fft // 2 + 1):
            total = sum(
                hann[n] * samples[start + n] * np.exp(-2j * np.pi * f * n / n_fft)
                for n in range(window)
            )
            row.append(abs(total) ** 2 / (sum(hann) / 2) ** 2)
        rows.append(row)
    np.testing.assert_allclose(power, rows, atol=1e-12)


def test_power_agrees_with_scipy():
    samples = np.random.default_rng(1).normal(size=4000)
    power = np.concatenate(list(spectra.power_spectra(samples, 400, 160, 512)))
    hann = signal.get_window("hann", 400)
    _, _, density = signal.spectrogram(
        samples, RATE, hann, 400, 240, 512, detrend=False, scaling="spectrum", mode="complex"
    )
    # SciPy divides by the sum of the window, and a tone of amplitude 1 has half of it on each side
    np.testing.assert_allclose(power, np.abs(2 * density.T) ** 2, rtol=1e-9)


def test_a_tone_has_the_power_of_its_amplitude():
    tone = sine(1000, 0.5, RATE, level=0.25)
    power = np.concatenate(list(spectra.power_spectra(tone, 512, 160, 512)))
    np.testing.assert_allclose(power[:, 32], 0.25**2, rtol=1e-4)  # 32 x 31.25 Hz


def test_long_sounds_are_cut_into_chunks_without_a_seam(monkeypatch):
    samples = np.random.default_rng(2).normal(size=10_000)
    whole = list(spectra.power_spectra(samples, 400, 160, 512))
    monkeypatch.setattr(spectra, "CHUNK", 7)
    pieces = list(spectra.power_spectra(samples, 400, 160, 512))
    assert (len(whole), len(pieces)) == (1, 9)
    np.testing.assert_allclose(np.concatenate(pieces), whole[0], rtol=1e-12)


def test_what_is_shorter_than_a_window_is_followed_by_silence():
    short = np.random.default_rng(3).normal(size=100)
    [power] = spectra.power_spectra(short, 400, 160, 512)
    [padded] = spectra.power_spectra(np.pad(short, (0, 300)), 400, 160, 512)
    assert power.shape == (1, 257)
    np.testing.assert_array_equal(power, padded)


def test_log_mel_is_in_units_of_ten_decibels():
    tone = sine(1000, 0.5, RATE, level=0.5).astype(np.float64)
    loud, quiet = spectra.log_mel(tone), spectra.log_mel(tone / 10)
    band = loud.mean(axis=0).argmax()
    np.testing.assert_allclose(loud[:, band] - quiet[:, band], 2.0, atol=1e-9)
    assert loud.max() - loud.min() <= 6 + 1e-9  # nothing below 60 dB under the loudest
    assert (spectra.log_mel(np.zeros(8000)) == -10).all()


def test_onsets_are_where_clicks_are():
    samples = np.zeros(RATE)
    samples[[4000, 8000, 12_000]] = 1.0
    strength = spectra.onset_strength(spectra.log_mel(samples))
    frames = np.flatnonzero(strength > strength.max() / 2)
    # the first window of 400 samples, one every 160, that holds the click
    assert frames.tolist() == [(click - 400) // 160 for click in (4000, 8000, 12_000)]


def test_autocorrelation_agrees_with_a_plain_loop():
    rng = np.random.default_rng(4)
    curve = rng.gamma(1.0, size=90)
    lags = np.array([1, 7, 40, 70, 71, 200])
    z = (curve - curve.mean()) / curve.std()
    expected = [
        np.mean([z[t] * z[t + k] for t in range(90 - k)]) if 90 - k >= 20 else 0 for k in lags
    ]
    np.testing.assert_allclose(spectra.autocorrelation(curve, lags), expected)
    assert not spectra.autocorrelation(np.ones(90), lags).any()
    assert not spectra.autocorrelation(np.empty(0), lags).any()


@pytest.mark.parametrize("number", range(12))
@pytest.mark.parametrize("octave", [-1, 0, 2])
def test_each_note_has_its_pitch_class_in_every_octave(number, octave):
    hz = 440 * 2 ** ((number - 9) / 12 + octave)  # 9 is A
    shares = spectra.chroma(sine(hz, 1.0, RATE))
    assert shares.argmax() == number
    assert shares.sum() == pytest.approx(1)
    assert shares.max() > 0.5


def test_noise_has_all_pitch_classes_alike():
    shares = spectra.chroma(np.random.default_rng(5).normal(size=10 * RATE))
    np.testing.assert_allclose(shares, 1 / 12, atol=0.025)
    assert not spectra.chroma(np.zeros(RATE)).any()


def triad(steps, root):
    """Three tones, so many semitones above a root (0 is C)."""
    return sum(sine(261.63 * 2 ** ((root + step) / 12), 1.0, RATE, 0.2) for step in steps)


@pytest.mark.parametrize("root", range(12))
def test_major_and_minor_triads_fit_their_keys(root):
    for mode, steps in enumerate([(0, 4, 7), (0, 3, 7)]):
        fit = spectra.key_correlations(spectra.chroma(triad(steps, root)))
        assert np.unravel_index(fit.argmax(), fit.shape) == (mode, root)


def test_key_correlations_by_a_reference():
    shares = np.random.default_rng(6).dirichlet(np.ones(12))
    fit = spectra.key_correlations(shares)
    for mode, profile in enumerate((spectra.MAJOR, spectra.MINOR)):
        for tonic in range(12):
            expected = np.corrcoef(np.roll(profile, tonic), shares)[0, 1]
            assert fit[mode, tonic] == pytest.approx(expected)
    assert not spectra.key_correlations(np.zeros(12)).any()
