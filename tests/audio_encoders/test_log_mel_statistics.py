"""Sounds with planted properties, and whether the number of that name shows them."""

import numpy as np
import pytest

from tests.helpers.sounds import notes, sine
from vidrec_utils import audio_encoders
from vidrec_utils.audio_encoders import LogMelEncoder, spectra
from vidrec_utils.encoders import SoundContract

RATE = 16_000
ENCODER = LogMelEncoder()


def described(sound):
    """The numbers of a sound's vector by their names."""
    return dict(zip(ENCODER.features, ENCODER.encode([sound])[0].tolist(), strict=True))


def columns(prefix):
    return [i for i, name in enumerate(ENCODER.features) if name.startswith(prefix)]


def beats(per_minute, seconds=4.0, level=0.5, hz=440.0):
    """A tone that begins anew with every beat."""
    times = np.arange(int(seconds * RATE)) / RATE
    return level * np.sin(2 * np.pi * hz * times) * np.exp(-12 * (times % (60 / per_minute)))


def test_every_number_has_a_name_of_its_own():
    assert len(set(ENCODER.features)) == len(ENCODER.features) == ENCODER.dim == 177
    assert ENCODER.sound_contract == SoundContract(16_000, 120.0)
    assert ENCODER.values_per_item == 120 * 16_000


@pytest.mark.parametrize("per_minute", [70, 110, 165])
@pytest.mark.parametrize("seconds", [2.0, 8.0])
def test_rhythm_is_highest_at_the_distance_of_the_beats(per_minute, seconds):
    vector = described(beats(per_minute, seconds))
    rhythm = {name: value for name, value in vector.items() if name.startswith("rhythm")}
    begin = float(max(rhythm, key=rhythm.get).split()[1])
    period = 60 / per_minute
    # within its 40 ms, or two or three times as far, which are periods, too
    assert any(begin - 0.011 <= k * period <= begin + 0.041 for k in (1, 2, 3))
    assert vector["onsets_per_s"] == pytest.approx(per_minute / 60, rel=0.35)


def test_statistics_are_those_of_the_spectrogram():
    sound = notes(1.0, RATE)
    spectrogram = spectra.log_mel(sound.astype(np.float64))
    vector = ENCODER.encode([sound])[0]
    mean = spectrogram.mean(axis=0)
    np.testing.assert_allclose(vector[columns("mel_mean")], mean - mean.mean(), rtol=1e-5)
    np.testing.assert_allclose(vector[columns("mel_std")], spectrogram.std(axis=0), rtol=1e-5)
    change = np.abs(spectrogram[1:] - spectrogram[:-1]).mean(axis=0)
    np.testing.assert_allclose(vector[columns("mel_change")], change, rtol=1e-5)


def test_level_is_in_its_own_number_and_nowhere_else():
    loud, quiet = ENCODER.encode([notes(2.0, RATE, level=0.5), notes(2.0, RATE, level=0.05)])
    other = np.array(ENCODER.features) != "level"
    np.testing.assert_allclose(loud[other], quiet[other], atol=1e-4)
    assert loud[~other] - quiet[~other] == pytest.approx(2.0, abs=1e-4)
    assert described(sine(440, 1.0, RATE, level=1.0))["level"] == pytest.approx(np.log10(0.5))


def test_noise_is_flat_and_tones_are_not():
    rng = np.random.default_rng(0)
    noise, tone = described(rng.normal(0, 0.1, RATE)), described(sine(440, 1.0, RATE))
    assert tone["flatness"] < -1 < noise["flatness"] < 0


def test_the_harmony_is_the_same_in_every_key():
    """A minor triad in several keys: `chroma` differs, `tonic` and `minor` do not."""
    chords = [
        sum(sine(262 * 2 ** ((root + step) / 12), 2.0, RATE, 0.2) for step in (0, 3, 7))
        for root in (0, 2, 5, 9)
    ]
    vectors = ENCODER.encode(chords)
    major, minor = columns("major"), columns("minor")
    assert (vectors[:, minor] > vectors[:, major] + 0.05).all()
    assert vectors[:, columns("tonic")].std(axis=0).max() < 0.05
    assert vectors[:, columns("chroma")].std(axis=0).max() > 0.1
    assert vectors[:, columns("tonic")].mean(axis=0).argsort()[-3:].tolist() != [0, 1, 2]


@pytest.mark.parametrize("seconds", [1 / RATE, 0.01, 0.1, 0.3, 0.8, 130])
def test_sounds_of_any_length(seconds):
    sound = np.random.default_rng(1).normal(0, 0.1, max(1, int(seconds * RATE)))
    assert np.isfinite(ENCODER.encode([sound])).all()


@pytest.mark.parametrize("n", [1, 400, 1600, 48_000])
def test_silence_is_zero_but_for_its_level(n):
    vector = described(np.zeros(n, np.float32))
    assert vector.pop("level") == -10
    assert set(vector.values()) == {0.0}


def test_a_lag_that_a_short_sound_cannot_show_is_zero():
    vector = ENCODER.encode([beats(165, 0.8)])[0]
    rhythm = vector[columns("rhythm")]
    assert rhythm[:5].any()
    assert not rhythm[-12:].any()


def test_the_same_vector_in_any_batch_and_again():
    sounds = [notes(1.0, RATE, seed) for seed in range(3)]
    together = ENCODER.encode(sounds)
    np.testing.assert_array_equal(together[1], audio_encoders.load().encode([sounds[1]])[0])
    assert ENCODER.fingerprint == audio_encoders.load("log_mel").fingerprint
    assert ENCODER.encode([]).shape == (0, 177)


def test_inputs_are_not_changed():
    sound = notes(0.5, RATE)
    before = sound.copy()
    ENCODER.encode([sound])
    np.testing.assert_array_equal(sound, before)


@pytest.mark.parametrize(
    ("sounds", "error", "message"),
    [
        (np.zeros(99, np.float32), TypeError, "One sound was given instead of a list"),
        ([np.zeros(9), np.zeros((2, 9))], TypeError, r"Sound 1 is float64 of shape \(2, 9\)"),
        ([np.zeros(9, np.int16)], TypeError, "Sound 0 is int16 of shape"),
        (["a.mp3"], TypeError, "Sound 0 is <U5 of shape"),
        ([np.zeros(9), np.zeros(0)], ValueError, "Sound 1 has no samples"),
        ([np.array([0.0, np.nan])], ValueError, "Sound 0 holds NaN or infinity"),
        ([np.array([np.inf])], ValueError, "Sound 0 holds NaN or infinity"),
    ],
)
def test_what_is_no_sound_is_refused(sounds, error, message):
    with pytest.raises(error, match=message):
        ENCODER.encode(sounds)
