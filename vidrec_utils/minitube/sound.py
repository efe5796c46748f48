"""Music for a clip: its tempo follows the pace, its key, timbre and density follow the mood.

A clip's music is a loop of chords, a melody, a bass and perhaps drums, synthesised note by note. A
mood says what is typical of it (`STYLES`). Each clip borrows some traits from other moods, many
phrases are played as those of another mood, and register, root, level and noise are the clip's own.
So no single trait gives the mood away; several of them together do in most clips, and a short clip,
of which one phrase is heard, tells less than a long one. The music depends on the mood and the pace
and on nothing else that a clip shows.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np

from vidrec_utils.minitube.vocabulary import MOODS, PACES

RATE = 16_000
"""Samples per second."""

BEATS_PER_MINUTE = {"slow": 70.0, "medium": 110.0, "fast": 165.0}
"""Typical tempo of each pace; a clip's own differs by some percent."""

BORROWED = 0.05
"""Chance that a clip has a trait of any mood instead of that of its own."""

BORROWED_PHRASES = 0.3
"""Chance that a phrase is played as that of any mood, though in the clip's key."""

PHRASE_BEATS = 2
"""Beats of a phrase."""

QUIET = 0.06
"""Share of the clips whose music is nearly silent for a part of the time."""

SCALES: dict[str, tuple[int, ...]] = {
    "major": (0, 2, 4, 5, 7, 9, 11),
    "lydian": (0, 2, 4, 6, 7, 9, 11),
    "minor": (0, 2, 3, 5, 7, 8, 10),
    "phrygian": (0, 1, 3, 5, 7, 8, 10),
    "pentatonic": (0, 2, 4, 7, 9),
}
"""Mode -> its degrees in semitones above the root."""


@dataclass(frozen=True)
class Style:
    """What is typical of a mood.

    Attributes
    ----------
    scale : str
        Mode, a key of `SCALES`.
    roots : tuple of int
        Roots to draw from, in semitones above C.
    register : float
        Middle of the melody, as a MIDI note number.
    timbre : tuple of float
        Level of a partial: its number to the power of minus the first figure, and even partials
        times the second.
    attack_s, decay_s : float
        Seconds until a note is fully there, and in which it falls to a third.
    density : float
        Notes of the melody per beat.
    leap : float
        Standard deviation of the melody's steps, in degrees of the scale.
    pad : float
        Level of the held chords, compared with the melody.
    drums : str
        `"none"`, `"kick"`, `"beat"` or `"ticks"`.
    """

    scale: str
    roots: tuple[int, ...]
    register: float
    timbre: tuple[float, float]
    attack_s: float
    decay_s: float
    density: float
    leap: float
    pad: float
    drums: str


STYLES: dict[str, Style] = {
    "calm": Style("pentatonic", (0, 5, 7, 9), 67, (2.4, 1.0), 0.05, 0.9, 0.75, 1.2, 0.5, "none"),
    "cheerful": Style("major", (0, 2, 7, 9), 72, (1.3, 1.0), 0.008, 0.3, 1.5, 1.6, 0.35, "beat"),
    "dreamy": Style("lydian", (3, 5, 8, 10), 70, (1.9, 0.3), 0.25, 1.6, 0.5, 2.2, 1.0, "none"),
    "dark": Style("minor", (0, 2, 4, 9), 50, (1.1, 1.0), 0.09, 1.1, 0.5, 1.0, 0.8, "kick"),
    "tense": Style("phrygian", (1, 4, 6, 11), 60, (0.8, 0.6), 0.01, 0.2, 2.0, 0.7, 0.6, "ticks"),
    "playful": Style("major", (0, 5, 7, 10), 79, (1.6, 0.15), 0.004, 0.12, 2.0, 3.0, 0.0, "ticks"),
}
"""Mood -> its style."""

_TABLE = 2_048
"""Samples of one period in a wavetable."""

_BEFORE = 4
"""Beats that were played before a clip begins, so that some notes still sound."""


def synthesize(
    mood: str, pace: str, duration_s: float, rng: np.random.Generator, rate: int = RATE
) -> np.ndarray:
    """Synthesise the music of one clip.

    Parameters
    ----------
    mood, pace : str
        One of `vocabulary.MOODS`, a key of `vocabulary.PACES`.
    duration_s : float
        In seconds.
    rng : numpy.random.Generator
        Everything else that differs between two clips of one mood and pace comes from here.
    rate : int
        Samples per second.

    Returns
    -------
    numpy.ndarray
        float32 between -1 and 1, shape (samples,).

    Raises
    ------
    ValueError
        If mood or pace is unknown, or the duration is not positive.

    Examples
    --------
    >>> music = synthesize("calm", "slow", 1.5, np.random.default_rng(0))
    >>> music.shape, bool(np.abs(music).max() <= 1)
    ((24000,), True)
    """
    if mood not in MOODS or pace not in PACES:
        raise ValueError(f"There is no music of mood {mood!r} at pace {pace!r} in MiniTube.")
    if not duration_s > 0:
        raise ValueError(f"duration_s is {duration_s}; it must be positive.")
    style = _own_style(mood, rng)
    beat_s = 60 / BEATS_PER_MINUTE[pace] * np.exp(rng.normal(0, 0.07))
    score = _Score(style, beat_s, duration_s, rng)
    music = np.zeros(round(duration_s * rate))
    for note in score.melody() + score.accompaniment():
        _add_note(music, note, rate)
    music /= max(np.sqrt((music**2).mean()), 1e-3)
    for number, played in enumerate(score.phrases):
        beats = score.start_s + beat_s * (number * PHRASE_BEATS + np.arange(PHRASE_BEATS))
        _add_drums(music, played.drums, beats, beat_s, rate, rng)
    return _recorded(music, rate, rng)


def _own_style(mood: str, rng: np.random.Generator) -> Style:
    """The mood's style, with some traits borrowed, and figures that vary from clip to clip."""
    traits = {}
    for field in fields(Style):
        lender = str(rng.choice(MOODS)) if rng.random() < BORROWED else mood
        traits[field.name] = getattr(STYLES[lender], field.name)
    return _varied(Style(**traits), rng)


def _varied(style: Style, rng: np.random.Generator) -> Style:
    spread = np.exp(rng.normal(0, 0.25, size=4))
    return replace(
        style,
        register=style.register + rng.normal(0, 4),
        timbre=(style.timbre[0] * spread[0], style.timbre[1]),
        attack_s=style.attack_s * spread[1],
        decay_s=style.decay_s * spread[2],
        density=style.density * spread[3],
    )


@dataclass(frozen=True)
class _Note:
    """One note: its onset and length in seconds, pitch in hertz, level, and how it sounds."""

    onset_s: float
    length_s: float
    hertz: float
    level: float
    timbre: tuple[float, float]
    attack_s: float
    decay_s: float


class _Score:
    """The notes of a piece, in a key, on a grid of beats that began before the clip does."""

    def __init__(
        self, style: Style, beat_s: float, duration_s: float, rng: np.random.Generator
    ) -> None:
        self.style, self.beat_s, self.duration_s, self.rng = style, beat_s, duration_s, rng
        self.root = int(rng.choice(style.roots))
        self.start_s = -beat_s * (_BEFORE + rng.random())
        self.progression = rng.permutation([0, 3, 4, 5])  # degrees of the chords' roots
        self.swing = rng.uniform(0, 0.12)
        n_phrases = int(np.ceil((duration_s - self.start_s) / (beat_s * PHRASE_BEATS)))
        self.phrases = [self._draw_phrase() for _ in range(n_phrases)]

    def hertz(self, degree: int, register: float) -> float:
        """Frequency of a degree of the scale, whose octave is that around the register."""
        scale = SCALES[self.style.scale]
        octave, step = divmod(degree, len(scale))
        lowest = self.root + 12 * round((register - 6 - self.root) / 12)
        # MIDI numbers count semitones, and 69 is A at 440 Hz.
        return float(440 * 2 ** ((lowest + 12 * octave + scale[step] - 69) / 12))

    def chord_at(self, beat: int) -> int:
        """Degree of the chord that is on: it changes every fourth beat."""
        return int(self.progression[beat // 4 % len(self.progression)])

    def _draw_phrase(self) -> Style:
        """How a phrase is played: as the clip is, or as another mood, in the clip's key."""
        if self.rng.random() >= BORROWED_PHRASES:
            return self.style
        other = _varied(STYLES[str(self.rng.choice(MOODS))], self.rng)
        return replace(other, scale=self.style.scale)

    def melody(self) -> list[_Note]:
        """Phrases that walk at random over the scale and return to the chords' tones."""
        rng = self.rng
        notes, degree = [], int(rng.integers(0, 7))
        for number, style in enumerate(self.phrases):
            step = 0.5 if style.density > 0.6 else 1.0  # eighths or quarters
            for beat in number * PHRASE_BEATS + np.arange(0, PHRASE_BEATS, step):
                if rng.random() > style.density * step:
                    continue
                if beat % 1 == 0 and rng.random() < 0.6:
                    near = self.chord_at(int(beat)) + np.array([-7, -5, -3, 0, 2, 4, 7, 9, 11])
                    degree = int(near[np.abs(near - degree).argmin()])
                else:
                    degree = int(np.clip(degree + round(rng.normal(0, style.leap)), -4, 11))
                late = beat + (self.swing if beat % 1 else 0)
                beats = step * rng.choice([0.8, 1.0, 1.6])
                notes.append(
                    self._note(style, late, beats, degree, style.register, rng.uniform(0.7, 1))
                )
        return notes

    def accompaniment(self) -> list[_Note]:
        """A held triad and the chord's root in the bass, once in a phrase."""
        notes = []
        for number, style in enumerate(self.phrases):
            beat = number * PHRASE_BEATS
            chord = self.chord_at(beat)
            held = replace(style, attack_s=max(style.attack_s, 0.06), decay_s=4 * style.decay_s)
            for third in (0, 2, 4):
                notes.append(
                    self._note(
                        held, beat, PHRASE_BEATS, chord + third, style.register - 12, style.pad / 2
                    )
                )
            notes.append(self._note(style, beat, PHRASE_BEATS, chord, 42, 0.6))
        return notes

    def _note(
        self, style: Style, beat: float, beats: float, degree: int, register: float, level: float
    ) -> _Note:
        return _Note(
            self.start_s + beat * self.beat_s,
            beats * self.beat_s,
            self.hertz(degree, register),
            level,
            style.timbre,
            style.attack_s,
            style.decay_s,
        )


def _wavetable(timbre: tuple[float, float], highest: int) -> np.ndarray:
    """Compute one period of a tone with partials up to a number, of unit power."""
    numbers = np.arange(1, max(highest, 1) + 1)
    levels = numbers ** -timbre[0] * np.where(numbers % 2 == 0, timbre[1], 1.0)
    spectrum = np.zeros(_TABLE // 2 + 1, dtype=complex)
    spectrum[numbers] = -1j * levels
    wave = np.fft.irfft(spectrum)
    return wave / np.sqrt((wave**2).mean())


def _add_note(music: np.ndarray, note: _Note, rate: int) -> None:
    """Add a note to the samples, in place: they are this module's own."""
    release_s = 0.05
    first = round(note.onset_s * rate)
    n = round((note.length_s + release_s) * rate)
    begin, end = max(first, 0), min(first + n, len(music))
    if begin >= end:
        return
    t = np.arange(begin - first, end - first) / rate
    # No partial above half the rate of samples, and at most sixteen.
    wave = _wavetable(note.timbre, min(int(0.45 * rate / note.hertz), 16))
    tone = wave[(t * (note.hertz * _TABLE)).astype(np.int64) % _TABLE]
    envelope = np.exp(-t / note.decay_s)
    envelope *= np.minimum(t / note.attack_s, 1)
    envelope *= np.clip((note.length_s + release_s - t) / release_s, 0, 1)
    music[begin:end] += note.level * envelope * tone


def _add_drums(
    music: np.ndarray,
    kind: str,
    beats: np.ndarray,
    beat_s: float,
    rate: int,
    rng: np.random.Generator,
) -> None:
    """Play a kick, a beat of kick and hiss, or ticks twice a beat, in place."""
    if kind == "none":
        return
    t = np.arange(int(0.12 * rate)) / rate
    kick = np.sin(2 * np.pi * (55 * t + 2 * (1 - np.exp(-30 * t)))) * np.exp(-t / 0.05)
    hiss = rng.normal(size=len(t)) * np.exp(-t / 0.03)
    tick = np.diff(rng.normal(size=len(t) + 1)) * np.exp(-t / 0.008)
    between = beats + beat_s / 2
    hits = {
        "kick": [(kick, beats[::2])],
        "beat": [(kick, beats[::2]), (0.6 * hiss, beats[1::2]), (0.4 * tick, between)],
        "ticks": [(tick, beats), (0.6 * tick, between)],
    }[kind]
    level = rng.uniform(1.0, 2.5)
    for hit, times in hits:
        for first in np.round(times * rate).astype(int):
            begin, end = max(first, 0), min(first + len(hit), len(music))
            if begin < end:
                music[begin:end] += level * hit[begin - first : end - first]


def _recorded(music: np.ndarray, rate: int, rng: np.random.Generator) -> np.ndarray:
    """Bring music to a level of its own, with noise, and perhaps with a nearly silent part."""
    level = 10 ** (rng.uniform(-27, -14) / 20)
    noise = 10 ** (rng.uniform(-45, -25) / 20)
    music = music / max(np.sqrt((music**2).mean()), 1e-3)
    if rng.random() < QUIET:
        music = music * _dip(len(music), rate, rng)
    music = music + noise * rng.normal(size=len(music))
    # Peaks are bent rather than cut.
    return np.tanh(level * music).astype(np.float32)


def _dip(n: int, rate: int, rng: np.random.Generator) -> np.ndarray:
    """A gain that is 1 except for a third to two thirds of the time, where it is 1/50."""
    length = rng.uniform(0.33, 0.67) * n
    first = rng.uniform(0, n - length)
    fade = 0.05 * rate
    corners = [first, first + fade, first + length - fade, first + length]
    return np.interp(np.arange(n), corners, [1.0, 0.02, 0.02, 1.0])
