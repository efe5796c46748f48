"""Music: the plan's mood and pace can be heard in it, and nothing else."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from vidrec_utils.minitube import sound
from vidrec_utils.minitube.config import world_config
from vidrec_utils.minitube.media import synthesize_upload
from vidrec_utils.minitube.plan import plan_videos
from vidrec_utils.minitube.sound import BEATS_PER_MINUTE, RATE, STYLES, synthesize
from vidrec_utils.minitube.vocabulary import MOODS, PACES

CONFIG = world_config()


def spectrogram(music: np.ndarray) -> np.ndarray:
    """Log power in 24 bands every hundredth of a second, shape (frames, bands)."""
    pieces = np.lib.stride_tricks.sliding_window_view(music, 512)[:: RATE // 100]
    power = np.abs(np.fft.rfft(pieces * np.hanning(512))) ** 2
    edges = np.unique(np.geomspace(1, power.shape[1], 25).astype(int))
    return np.log(np.add.reduceat(power, edges[:-1], axis=1) + 1e-5)


def onset_rhythm(music: np.ndarray) -> np.ndarray:
    """Autocorrelation of the strength of onsets at lags of 0, 0.01, ... 1.19 s."""
    rises = np.maximum(np.diff(spectrogram(music), axis=0), 0).mean(axis=1)
    rises -= rises.mean()
    whole = np.correlate(rises, rises, "full")[len(rises) - 1 :]
    return whole[:120] / whole[0]


def test_the_same_seed_gives_the_same_music_and_another_seed_another():
    one, two, three = (synthesize("dark", "fast", 2, np.random.default_rng(s)) for s in (1, 1, 2))
    np.testing.assert_array_equal(one, two)
    assert np.abs(one - three).max() > 0.01


@pytest.mark.parametrize("mood", MOODS)
@pytest.mark.parametrize("pace", PACES)
def test_music_of_any_length(mood, pace):
    for seed, seconds in enumerate((0.05, 0.8, 3.3, 8)):
        music = synthesize(mood, pace, seconds, np.random.default_rng(seed))
        assert music.dtype == np.float32
        assert music.shape == (round(seconds * RATE),)
        assert np.abs(music).max() <= 1
        assert music.std() > 0.01


@pytest.mark.parametrize(
    ("mood", "pace", "seconds", "message"),
    [
        ("angry", "slow", 1, "'angry' at pace 'slow'"),
        ("calm", "lazy", 1, "'calm' at pace 'lazy'"),
        ("calm", "slow", 0, "duration_s is 0"),
        ("calm", "slow", float("nan"), "duration_s is nan"),
    ],
)
def test_what_cannot_be_played(mood, pace, seconds, message):
    with pytest.raises(ValueError, match=message):
        synthesize(mood, pace, seconds, np.random.default_rng(0))


def test_the_tempo_follows_the_pace():
    rhythms = {
        pace: np.mean(
            [
                onset_rhythm(synthesize("tense", pace, 8, np.random.default_rng(seed)))
                for seed in range(12)
            ],
            axis=0,
        )
        for pace in PACES
    }
    for pace, beats in BEATS_PER_MINUTE.items():
        # Tense music ticks twice a beat, so it resembles itself half a beat later.
        lag = round(100 * 60 / beats / 2)
        around = rhythms[pace][round(0.85 * lag) : round(1.15 * lag) + 1].max()
        others = rhythms[pace][round(0.6 * lag) : round(0.75 * lag) + 1].max()
        assert around > others + 0.1


def features(seconds: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    clips, moods = [], []
    for number in range(150):
        mood, pace = MOODS[number % 6], list(PACES)[number // 6 % 3]
        music = synthesize(mood, pace, seconds, np.random.default_rng([seed, number]))
        bands = spectrogram(music)
        clips.append(np.concatenate([bands.mean(0), bands.std(0), np.diff(bands, axis=0).std(0)]))
        moods.append(mood)
    return np.array(clips), np.array(moods)


def accuracy(clips: np.ndarray, moods: np.ndarray) -> float:
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=300))
    return float(cross_val_score(probe, clips, moods, cv=5).mean())


def test_a_linear_probe_hears_the_mood_often_and_not_always():
    clips, moods = features(8, seed=0)
    assert 0.5 < accuracy(clips, moods) < 0.9
    # The level alone says little.
    assert accuracy(clips[:, :24].mean(axis=1, keepdims=True), moods) < 0.4


def test_a_short_clip_tells_less_than_a_long_one():
    assert accuracy(*features(0.8, seed=2)) < accuracy(*features(8, seed=2)) - 0.1


def test_music_depends_on_mood_and_pace_and_on_nothing_else_that_is_shown():
    plan = plan_videos(replace(CONFIG, n_videos=20))
    video_id = plan.index[3]
    music = synthesize_upload(video_id, plan, CONFIG)
    assert len(music) == plan.at[video_id, "n_frames"] / CONFIG.fps * RATE
    shown = ["category", "subject", "scene", "motion", "topic", "uploader", "language", "n_shots"]
    other = plan.copy()
    other.loc[video_id, shown] = plan.loc[plan.index[4], shown]
    np.testing.assert_array_equal(synthesize_upload(video_id, other, CONFIG), music)
    for column, values in (("mood", MOODS), ("pace", list(PACES))):
        other = plan.copy()
        other.loc[video_id, column] = next(v for v in values if v != plan.at[video_id, column])
        assert np.abs(synthesize_upload(video_id, other, CONFIG) - music).max() > 0.01


def test_some_music_is_nearly_silent_for_a_part_of_the_time():
    loudness = []
    for seed in range(300):
        music = synthesize("dark", "medium", 2, np.random.default_rng([9, seed]))
        power = (music.reshape(-1, 800) ** 2).mean(axis=1)
        loudness.append(np.quantile(power, 0.2) / power.max())
    quiet = (10 * np.log10(loudness) < -25).mean()
    assert 0.03 < quiet < 0.1


def test_partials_have_the_levels_of_the_timbre():
    wave = sound._wavetable((1.5, 0.25), highest=6)
    assert (wave**2).mean() == pytest.approx(1)
    levels = np.abs(np.fft.rfft(wave))
    expected = np.arange(1, 7) ** -1.5 * np.array([1, 0.25] * 3)
    np.testing.assert_allclose(levels[1:7] / levels[1], expected, atol=1e-9)
    assert levels[7:].max() < 1e-9 * levels[1]


def test_a_note_begins_at_its_onset_and_has_its_pitch():
    music = np.zeros(RATE)
    note = sound._Note(0.25, 0.5, 440.0, 0.5, (2.0, 1.0), 0.001, 1e9)
    sound._add_note(music, note, RATE)
    assert not music[: RATE // 4].any()
    assert not music[round(0.81 * RATE) :].any()  # the note fades within 50 ms of its end
    steady = music[round(0.3 * RATE) : round(0.7 * RATE)]
    assert np.sqrt((steady**2).mean()) == pytest.approx(0.5, rel=0.02)
    spectrum = np.abs(np.fft.rfft(steady * np.hanning(len(steady))))
    assert spectrum.argmax() * RATE / len(steady) == pytest.approx(440, abs=2)


@pytest.mark.parametrize(
    ("root", "degree", "register", "hertz"),
    [(9, 0, 75, 440.0), (9, 7, 75, 880.0), (9, -7, 75, 220.0), (0, 4, 66, 391.995)],
)
def test_degrees_of_the_scale_have_their_pitch(root, degree, register, hertz):
    """A above middle C is 440 Hz; the fifth of C major is G, at 392 Hz."""
    style = replace(STYLES["cheerful"], roots=(root,))
    score = sound._Score(style, 0.5, 1.0, np.random.default_rng(0))
    assert score.hertz(degree, register) == pytest.approx(hertz, rel=1e-5)
