"""What MiniTube is made of: subjects, scenes, motions, paces, moods, topics, tags, descriptions."""

from __future__ import annotations

SUBJECTS: dict[str, str] = {
    "animals": "🐈🐕🐎🐄🐖🐑🐐🐪🐘🦒🦓🦏🦛🐅🐆🦍🐒🐇🦔🦇🐨🐼🦘🐢🐍🦎🐊🐳🐬🦈🐙🦀",
    "food": "🍎🍐🍊🍋🍌🍉🍇🍓🍒🍑🍍🥝🍆🥑🥕🌽🥐🍞🥨🧀🍔🍟🍕🌭🥪🌮🍜🍣🍩🍪🍰🍦",
    "vehicles": "🚗🚕🚙🚌🚎🚓🚑🚒🚐🚚🚛🚜🛵🚲🛴🚂🚆🚊🚁🚀🛸⛵🚤🚢🛶🚠🚃🛺",
    "sports": "⚽🏀🏈⚾🎾🏐🏉🎱🏓🏸🥊🥋🛷🎿🏹🎣🥏🎳🏏🏑🏒🥍🛹🥌🏆🤿🥅⛳",
    "plants": "🌵🎄🌲🌳🌴🌱🌿🍀🎍🍁🍂🍃🌾🌷🌹🥀🌺🌸🌼🌻💐🍄🪴🪷🪹🌰",
    "fashion": "👕👖🧣🧤🧥🧦👗👘👙👚👛👜🎒👞👟🥾👠👢👑👒🎩🎓🧢💍👓🥽🦺👔",
    "gadgets": "📱💻📷🎥📺📟📠🔋🔌🎮⌚⏰📡🔭🔬📻💾💿📀🔦💡🎧🎤🧭📞📹",
    "buildings": "🏠🏡🏢🏣🏥🏦🏨🏪🏫🏭🏯🏰🗼🗽🎡🎢🎪⛺🏬🏤🛖⛲",
}
"""Category -> its sprites, one character each. Categories are learned on some, tested on others."""

CATEGORIES = tuple(SUBJECTS)

SCENES: dict[str, str] = {
    "cafe": "skimage:coffee.png",
    "launch pad": "skimage:rocket.jpg",
    "deep space": "skimage:hubble_deep_field.jpg",
    "brick wall": "skimage:brick.png",
    "meadow": "skimage:grass.png",
    "gravel path": "skimage:gravel.png",
    "moon": "skimage:moon.png",
    "temple": "sklearn:china.jpg",
    "garden": "sklearn:flower.jpg",
    "workshop": "skimage:motorcycle_left.png",
}
"""Scene -> the photograph behind the sprite, by the package that ships it and its file name."""

TINTS: dict[str, tuple[float, float, float]] = {
    "brick wall": (1.0, 0.62, 0.5),
    "meadow": (0.62, 0.95, 0.5),
    "gravel path": (0.95, 0.88, 0.74),
    "moon": (0.8, 0.85, 1.0),
}
"""Colour that a grey photograph is multiplied with, as red, green, blue in 0..1."""

REVERSED: dict[str, str] = {
    "zoom_in": "zoom_out",
    "spin_clockwise": "spin_counterclockwise",
    "orbit_clockwise": "orbit_counterclockwise",
    "rise": "fall",
    "slide_left": "slide_right",
}
"""Motions that are each other's time reversal: played backwards, one is the other."""

MOTIONS = (*REVERSED, *REVERSED.values(), "bounce", "shake")

MIRRORED: dict[str, str] = {
    "slide_left": "slide_right",
    "slide_right": "slide_left",
    "spin_clockwise": "spin_counterclockwise",
    "spin_counterclockwise": "spin_clockwise",
    "orbit_clockwise": "orbit_counterclockwise",
    "orbit_counterclockwise": "orbit_clockwise",
}
"""What a left-right flip turns a motion into; motions not named here keep their label."""

PACES: dict[str, float] = {"slow": 0.7, "medium": 1.3, "fast": 2.3}
"""Pace -> how often the motion runs through in two seconds."""

MOODS = ("calm", "cheerful", "dreamy", "dark", "tense", "playful")
"""What the music is like. Only the sound tells."""

TOPICS = ("tutorial", "comedy", "relaxing", "challenge", "story", "facts")
"""What a video is about beyond its subject. Only the words tell; no frame shows it."""

TOPIC_TAGS: dict[str, tuple[str, ...]] = {
    "tutorial": ("howto", "lesson", "diy"),
    "comedy": ("funny", "fail", "humor"),
    "relaxing": ("quiet", "asmr", "sleep"),
    "challenge": ("challenge", "dare", "record"),
    "story": ("story", "memories", "family"),
    "facts": ("facts", "science", "history"),
}

DESCRIPTIONS: dict[str, tuple[str, ...]] = {
    "en": (
        "Filmed at the {scene}. New videos every week, thanks for watching!",
        "Another one from the {scene}. Tell me in the comments what to try next.",
        "Shot on my phone near the {scene}. More {topic} soon.",
        "You asked for more {topic}, here it is.",
        "Subscribe for {topic} and {category}.",
    ),
    "zh": (
        "拍摄于{scene}。每周更新,谢谢观看!",
        "更多{topic}内容,欢迎关注。",
        "用手机随手拍的,喜欢请点赞。",
    ),
}
