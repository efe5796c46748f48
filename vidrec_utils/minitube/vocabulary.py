"""What MiniTube is made of: subjects, scenes, motions, paces, topics and the words for them."""

from __future__ import annotations

SUBJECTS: dict[str, str] = {
    "animals": "🐈🐕🐎🐄🐖🐑🐐🐪🐘🦒🦓🦏🦛🐅🐆🦍🐒🐇🦔🦇🐨🐼🦘🐢🐍🦎🐊🐳🐬🦈🐙🦀",
    "food": "🍎🍐🍊🍋🍌🍉🍇🍓🍒🍑🍍🥝🍆🥑🥕🌽🥐🍞🥨🧀🍔🍟🍕🌭🥪🌮🍜🍣🍩🍪🍰🍦",
    "vehicles": "🚗🚕🚙🚌🚎🚓🚑🚒🚐🚚🚛🚜🛵🚲🛴🚂🚆🚊🚁🚀🛸⛵🚤🚢🛶🚠🚃🛺",
    "sports": "⚽🏀🏈⚾🎾🏐🏉🎱🏓🏸🥊🥋🛷🎿🏹🎣🥏🎳🏏🏑🏒🥍🛹🥌🏆🤿🥅⛳",
    "plants": "🌵🎄🌲🌳🌴🌱🌿🍀🎍🍁🍂🍃🌾🌷🌹🥀🌺🌸🌼🌻💐🍄🪴🪷🪹🌰",
    "fashion": "👕👖🧣🧤🧥🧦👗👘👙👚👛👜🎒👞👟🥾👠👢👑👒🎩🎓🧢💍👓🥽🦺👔",
    "gadgets": "📱💻📷🎥📺📟📠🔋🔌🎮⌚⏰📡🔭🔬📻💾💿📀🔦💡🎧🎤🧭📞📹",
    "buildings": "🏠🏡🏢🏣🏥🏦🏨🏪🏫🏭🏯🏰🗼🗽⛪🕌🛕🎡🎢🎪⛺🏬🏤🛖🕋⛲",
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
"""Pace -> how often the motion runs through in one clip of two seconds."""

TOPICS = ("tutorial", "comedy", "relaxing", "challenge", "story", "facts")
"""What a video is about beyond its subject. Only the words tell; no frame shows it."""

TITLES: dict[str, dict[str, tuple[str, ...]]] = {
    "en": {
        "tutorial": (
            "How to draw a {s} step by step",
            "{s} for beginners: lesson {n}",
            "Learn to fold a paper {s} in {n} minutes",
            "My easy guide to the perfect {s}",
            "The proper way to film a {s}",
        ),
        "comedy": (
            "When the {s} thinks nobody is watching",
            "Try not to laugh: {s} edition",
            "This {s} has had enough today",
            "Funniest {s} fails, part {n}",
            "POV: you are a confused {s}",
        ),
        "relaxing": (
            "Calm {s} for a long evening",
            "{n} minutes of {s} to doze off to",
            "Quiet {s}, soft light, no talking",
            "Breathe in, breathe out, {s}",
            "Peaceful {s} to unwind with",
        ),
        "challenge": (
            "I tried the {s} challenge for {n} days",
            "Can you beat my {s} record?",
            "{s} versus the clock, round {n}",
            "Last one to drop the {s} wins",
            "Impossible {s} dare, accepted",
        ),
        "story": (
            "The day I lost my {s}",
            "A {s} came back after {n} years",
            "Chapter {n}: the {s} and me",
            "What grandma told me about the {s}",
            "Once there was a small {s}",
        ),
        "facts": (
            "{n} things you never knew about the {s}",
            "The science behind the {s}, explained",
            "Why is a {s} shaped like that?",
            "{s}: myth or truth?",
            "A short history of the {s}",
        ),
    },
    "zh": {
        "tutorial": ("{s}入门教程第{n}课", "一步一步教你画{s}", "新手必看:如何拍好{s}"),
        "comedy": ("搞笑{s}合集第{n}期", "这个{s}笑死我了", "{s}:今天不想上班"),
        "relaxing": ("安静的{s},陪你入睡", "{n}分钟放松{s}", "静下来,看看{s}"),
        "challenge": ("{s}挑战第{n}天", "你能打破我的{s}纪录吗", "不可能的{s}挑战"),
        "story": ("我和{s}的故事", "丢失{s}的那一天", "{n}年后{s}回来了"),
        "facts": ("关于{s}的{n}个冷知识", "{s}的科学原理", "为什么{s}长这样"),
    },
}
"""Language -> topic -> title patterns: `{s}` is the subject's name, `{n}` a small number."""

TOPIC_TAGS: dict[str, tuple[str, ...]] = {
    "tutorial": ("howto", "lesson", "diy"),
    "comedy": ("funny", "fail", "humor"),
    "relaxing": ("calm", "asmr", "sleep"),
    "challenge": ("challenge", "dare", "record"),
    "story": ("story", "memories", "family"),
    "facts": ("facts", "science", "history"),
}

VAGUE: dict[str, tuple[str, ...]] = {
    "en": ("thing", "friend", "favourite", "one", "classic"),
    "zh": ("宝贝", "东西", "朋友"),
}
"""Words that stand for the subject in titles that do not name it."""

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

COMMENTS: dict[str, dict[str, tuple[str, ...]]] = {
    "en": {
        "positive": (
            "love this so much",
            "best thing I saw today 😍",
            "made my morning, thank you!",
            "more of this please",
            "watched it three times already",
            "absolutely wonderful",
            "haha this is great 😂",
            "so satisfying to watch",
        ),
        "neutral": (
            "first",
            "where was this filmed?",
            "who else is here from the home page",
            "what camera do you use?",
            "ok",
        ),
        "negative": (
            "boring, skipped after a second",
            "this is awful 😡",
            "why was I shown this",
            "clickbait again, disappointed",
            "not my thing at all",
            "worst video on my feed",
            "terrible quality",
        ),
    },
    "zh": {
        "positive": ("太喜欢了", "好看,再来一个!", "今天看到最棒的视频😍", "哈哈哈太有趣了"),
        "neutral": ("在哪里拍的?", "第一", "路过"),
        "negative": ("好无聊", "浪费时间😡", "不喜欢,别推给我了", "太差了"),
    },
}
"""Language -> sentiment -> what people write under a video."""
