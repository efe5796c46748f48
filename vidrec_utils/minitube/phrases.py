"""Titles and comments as people write them, from a small grammar with synonyms in two languages.

A pattern is a text with choices in angle brackets, `<draw|paint>`; an empty choice is allowed, and
choices do not contain others. In a title, `{n}` is a small number and `{s}` the subject; English
also has `{a}` ("a cat", "an apple", "grapes"), `{a:paper}` ("a paper cat"), `{the}`, `{my}` and
`{this}`. The subject is nowhere the subject of a verb in the present tense, so that singular and
plural fit alike. Two titles of one topic often have no word in common. No pattern tells a motion,
a pace or a mood.
"""

from __future__ import annotations

import re

import numpy as np

TITLES: dict[str, dict[str, tuple[str, ...]]] = {
    "en": {
        "tutorial": (
            "<how to|learn to|the easy way to|let me show you how to|anyone can|watch me> "
            "<draw|paint|sketch|knit|sew|build|carve> <{a}|{a:tiny}|{a:simple}|{a:giant}>"
            "< step by step| from scratch| without any tools| at home| in {n} minutes|>",
            "<lesson|class|workshop|module> {n}: "
            "<drawing|painting|modelling|stitching|filming> <{a}|{a:basic}|{a:miniature}>",
            "<my|your|the complete> <beginner's|hands-on|practical> guide to {a:perfect}",
            "{s} <instructions|basics|walkthrough> <for beginners|for newcomers|made simple>",
            "<stop|you keep|everybody keeps> <sketching|stitching|painting> {a} like that, "
            "<do this instead|here is a better technique|use this method>",
            "{n} <tips|tricks|techniques|mistakes to avoid> when <making|drawing|filming> {a}",
        ),
        "comedy": (
            "<when|that moment when|nobody expected it, but|breaking news:|plot twist:> {the} "
            "<thought nobody was watching|refused to cooperate|ruined the family photo|"
            "had one job|pretended to work|gave up on Monday|argued with the mirror>",
            "<try not to laugh|I cannot stop giggling|comedy gold|my stomach hurts>: "
            "<{s} edition|{a} at the office|{a} on a first date|{the} versus my dad>",
            "<funniest|silliest|goofiest|most ridiculous> {s} "
            "<fails|bloopers|outtakes|pranks|jokes><, part {n}| of the week|>",
            "POV: <you are|your boss is|your neighbour is> {a:confused}",
            "{this} <made me snort my tea|had enough of us|deserved an Oscar|cracked everybody up>",
            "<worst|most embarrassing> {s} <impression|costume|joke> <ever|you will see today>",
        ),
        "relaxing": (
            "{n} <minutes|hours> with {a:<quiet|gentle|sleepy|peaceful>} "
            "<to doze off to|before bed|for a long evening|to unwind|for tired eyes>",
            "<no talking|soft light|rain on the window|candlelight>, "
            "<only {the}|{the} and nothing else|just {the} and you>",
            "<breathe in, breathe out|close your eyes|take a deep breath|let go of the day>: "
            "{the} <by the fire|at dusk|under a blanket|in the mist>",
            "<soothing|cosy|hushed|tranquil> {s} <sounds|ambience|evening|meditation>"
            "< for sleep| for studying|, session {n}|>",
            "<rest a while|wind down|drift off|clear your head> with {a}",
            "{a:<drowsy|silent>} to <help you sleep|ease your mind|melt your worries>",
        ),
        "challenge": (
            "I <tried|attempted|survived|took on> the {s} <challenge|dare|test|marathon> "
            "<for {n} days|with my eyes shut|against my sister|without a break>",
            "<can you|who can|will anyone> <beat|break|top> my {s} <record|score|streak>?",
            "nobody <beats|will break|could top> the {s} <record|high score>",
            "<last one|first one> to drop {the} <wins|loses|pays for dinner>",
            "<impossible|hardest|craziest> {s} <stunt|mission|dare><, accepted|: attempt {n}|>",
            "<me|my team|two strangers> <versus|against> {the}, round {n}",
            "<we bet {n} coins on|no sleep until I finish|{n} hours of nothing but> {the}",
            "<could you|will I> <last|hold out|endure> {n} <days|hours> with {a}?",
        ),
        "story": (
            "the <day|night|summer|year> <I|we|my brother> "
            "<lost|found|inherited|gave away|nearly sold> <{my:old}|{the}>",
            "<what|the secret> <grandma|my father|our teacher> <told me|confessed> about {the}",
            "chapter {n}: <{the} and me|{the} from our street|farewell to {the}>",
            "<once upon a time|long ago|when I was {n}>, I <met|owned|dreamed of> {a:small}",
            "{n} years later, <I went back for|we finally got> {the}",
            "<growing up with|a letter to|the tale of|how we rescued> {a:<lonely|forgotten>}",
            "<I still remember|I never forgot|my family still talks about> {the}",
        ),
        "facts": (
            "{n} <things|surprising truths|curiosities|secrets> <you never knew|school skipped|"
            "most people get wrong|experts know> about {the}",
            "the <science|physics|origin|evolution|mathematics|economics> <of|behind> {the}"
            "<, explained| in plain words| in {n} minutes|>",
            "what <makes|made> {a} <look like that|so expensive|so hard to study|last so long>?",
            "{s}: <myth or truth?|a fact check|true or false?|what the evidence says>",
            "<a|the> <short|brief|surprising|forgotten> history of {the}",
            "<researchers|historians|engineers> <measured|examined|finally understood> {a}"
            "< and published the results| for {n} years|>",
            "<where did people first see|who invented|did the Romans know> {a}?",
            "<everything|all> that <biology|chemistry|archaeology> <can say|found out> about {the}",
            "{n} <numbers|discoveries|studies> that <explain|changed how we see> {the}",
        ),
    },
    "zh": {
        "tutorial": (
            "<一步一步|手把手|从零开始>教你<画|做|折|拍>{s}<,新手也能会|,{n}分钟学会|>",
            "{s}<入门|零基础|基础>教程第{n}课",
            "<新手必看|初学者指南|实用技巧>:<如何|怎样><画|做|拍>好{s}",
            "<做|画|拍>{s}常犯的{n}个错误",
            "在家就能做的<手工|纸艺|木头>{s}",
        ),
        "comedy": (
            "搞笑{s}<合集|集锦>第{n}期",
            "<这个|我家的|邻居的>{s}<笑死我了|太逗了|又闯祸了|今天不想上班>",
            "<忍住别笑|笑到肚子疼|谁能不笑>:{s}<翻车现场|名场面>",
            "当{s}<以为没人看见|假装在努力|遇到星期一>",
            "{s}模仿大赛,我笑出了眼泪",
        ),
        "relaxing": (
            "<安静的|温柔的|治愈的>{s},<陪你入睡|伴你一晚|送给疲惫的你>",
            "{n}分钟<放松|解压|助眠>{s}",
            "<静下来|闭上眼|深呼吸>,<看看|想想>{s}",
            "睡前<听雨|发呆>,身边有{s}",
            "和{s}一起<放空自己|忘掉烦恼>",
        ),
        "challenge": (
            "{s}挑战第{n}天",
            "<你能|谁能><打破|超过>我的{s}纪录吗",
            "<不可能的|史上最难的|全网最难的>{s}<挑战|任务>",
            "<打赌|比赛>:谁先放下{s}谁输",
            "坚持{n}<天|小时>不离开{s},我<做到了|失败了>",
        ),
        "story": (
            "我和{s}的<故事|回忆|往事>",
            "<丢失|遇见|告别|找回>{s}的那<一天|个夏天|个晚上>",
            "{n}年后,<我又见到了|我们找到了>{s}",
            "<奶奶|爷爷|妈妈><留下的|送我的>{s}<,我一直记得|>",
            "写给{s}的一封信",
        ),
        "facts": (
            "关于{s}的{n}个<冷知识|真相|秘密>",
            "{s}的<科学原理|历史|来历>",
            "<为什么|你知道为什么>{s}长这样",
            "{s}:<谣言还是真相|真的假的>",
            "<科学家|专家><眼中的|研究过的>{s}",
            "{n}分钟<看懂|了解>{s}",
        ),
    },
}
"""Language -> topic -> patterns of titles."""

VAGUE: dict[str, tuple[str, ...]] = {
    "en": ("thing", "friend", "favourite", "classic", "treasure", "surprise"),
    "zh": ("宝贝", "东西", "朋友", "小家伙"),
}
"""Words that stand for the subject in titles that do not name it."""

COMMENTS: dict[str, dict[str, tuple[str, ...]]] = {
    "en": {
        "positive": (
            "<love|adore|really enjoyed> <this|it|this one>< so much|, thank you|>",
            "<every second|all> of it was <lovely|great|a joy><, thanks|>",
            "<best|nicest|loveliest> <thing|video|clip> <I saw|on my feed|here> <today|this week>",
            "<made|saved|brightened> my <morning|day|evening|week><, thank you|>",
            "<more|another one> <of this|like this|of these>, please",
            "<watched|played> it <twice|three times|again and again> <already|and I am not sorry>",
            "<absolutely|simply|just> <wonderful|beautiful|delightful|brilliant|perfect>",
            "<haha|lol>, this is <great|so good|hilarious in the best way>",
            "<subscribed|saved it|sending this to my sister>, <great work|well done|so good>",
        ),
        "neutral": (
            "<where|when> was this <filmed|made|recorded>?",
            "<which|what> <camera|phone|app|microphone> do you use?",
            "<who else came|anyone else> here from <the home page|search|my school>?",
            "<first|second|early today|here before lunch>",
            "<ok|hm|I see|noted>",
            "<is there|will there be> a <part two|longer version|sequel>?",
            "<what is|does anybody know> the name of this <place|song|channel>?",
        ),
        "negative": (
            "<boring|dull|pointless>, <skipped it|I left|gone> after <a second|a moment|a blink>",
            "<what an|that was an|such an> <awful|unbearable|annoying> <video|clip|idea>",
            "<why|how> <was I shown|did I get> <this|such rubbish>?",
            "<clickbait|nonsense|a waste of time> <again|as usual>, <disappointed|what a pity>",
            "<not my thing|not for me>< at all|, sorry|>",
            "<worst|ugliest|silliest> <video|clip|thing> on my feed< today|>",
            "<terrible|poor|horrible> <quality|sound|idea|editing>",
            "please <stop|do not recommend> <this|these>, I <hate it|cannot stand it>",
        ),
    },
    "zh": {
        "positive": (
            "<太|真><喜欢|爱>了<,谢谢|!|>",
            "<好看|精彩|太棒了>,<再来一个|还想看|请继续>!",
            "<今天|这周>看到<最棒|最好>的<视频|作品>",
            "<哈哈哈|哈哈>,<太有趣了|太可爱了|笑着看完>",
            "<看了|刷了><两|三|好几>遍<,真好|>",
        ),
        "neutral": (
            "<在哪里|什么时候>拍的?",
            "<第一|路过|打卡|来了>",
            "<用什么|这是什么><相机|手机|软件>?",
            "<还有|有没有><下集|完整版>?",
        ),
        "negative": (
            "太<无聊|差|难看|吵>了",
            "好<无聊|难看|失望><,划走|>",
            "<浪费|白费><时间|流量>",
            "<不喜欢|没意思|看不下去>,<别推给我了|划走了|差评>",
            "<又是|果然是><标题党|垃圾视频>",
        ),
    },
}
"""Language -> sentiment -> patterns of what people write under a video."""

SMILEYS: dict[str, tuple[str, ...]] = {
    "positive": ("😍", "❤️", "😂", "👏"),
    "neutral": ("🤔", "👀"),
    "negative": ("😡", "👎", "🙄"),
}
"""Sentiment -> what some people put at the end of a comment."""

PLURAL = {
    *("grapes", "cherries", "french fries", "gloves", "socks", "jeans", "glasses", "goggles"),
    *("skis", "woman’s clothes"),
}
"""Names of subjects that are plural."""

UNCOUNTED = {"bread", "soft ice cream", "sushi"}
"""Names of subjects that take no indefinite article."""

SPORTS = {
    *("tennis", "ping pong", "badminton", "bowling", "field hockey", "ice hockey", "lacrosse"),
    *("american football", "rugby football"),
}
"""Names of subjects that are games: titles speak of a match."""

UNIQUE = {"Tokyo tower", "Statue of Liberty"}
"""Names of subjects of which there is one."""


def write_title(topic: str, language: str, subject: str, rng: np.random.Generator) -> str:
    """Write a title of a topic.

    Parameters
    ----------
    topic : str
        One of `vocabulary.TOPICS`.
    language : {"en", "zh"}
        Language of the title.
    subject : str
        Name of the subject, or a word for it, in that language.
    rng : numpy.random.Generator
        Chooses pattern, synonyms and numbers.

    Examples
    --------
    >>> write_title("facts", "en", "cat", np.random.default_rng(0))
    'Historians measured a cat and published the results'
    """
    pattern = _choose(TITLES[language][topic], rng)
    number = str(int(rng.integers(2, 31)))
    forms = _noun_forms(subject) if language == "en" else {}
    text = pattern.replace("{n}", number).replace("{s}", _noun(subject))
    text = re.sub(r"\{(a|the|my|this)(?::([^}]*))?\}", lambda m: _phrase(m, forms), text)
    return text[0].upper() + text[1:]


def write_comment(language: str, kind: str, rng: np.random.Generator) -> str:
    """Write a comment.

    Parameters
    ----------
    language : {"en", "zh"}
        Language of the comment.
    kind : {"positive", "neutral", "negative"}
        Its sentiment.
    rng : numpy.random.Generator
        Chooses pattern, synonyms and smileys.

    Examples
    --------
    >>> write_comment("en", "positive", np.random.default_rng(1))
    'brightened my week, thank you'
    """
    text = _choose(COMMENTS[language][kind], rng)
    if rng.random() < 0.2:
        text += " " + str(rng.choice(SMILEYS[kind]))
    return text


def _choose(patterns: tuple[str, ...], rng: np.random.Generator) -> str:
    """Choose a pattern, those with more variants more often, and one of each of its choices."""
    shares = np.sqrt([_count_variants(pattern) for pattern in patterns])
    pattern = str(rng.choice(patterns, p=shares / shares.sum()))
    return re.sub(r"<([^<>]*)>", lambda m: str(rng.choice(m[1].split("|"))), pattern)


def _count_variants(pattern: str) -> int:
    """Count the texts that a pattern can become."""
    return int(np.prod([one.count("|") + 1 for one in re.findall(r"<([^<>]*)>", pattern)]))


def _noun(subject: str) -> str:
    """Name of a subject as titles use it: games become matches."""
    return f"{subject} match" if subject in SPORTS else subject


def _noun_forms(subject: str) -> dict[str, str]:
    """Words before the name of a subject: `a` (empty where there is no article), `this`."""
    plural = subject in PLURAL
    return {
        "noun": _noun(subject),
        "a": "" if plural or subject in UNCOUNTED else "the" if subject in UNIQUE else "a",
        "this": "these" if plural else "this",
    }


def _phrase(match: re.Match[str], forms: dict[str, str]) -> str:
    """Noun phrase of a form such as `{a:paper}`."""
    form, adjective = match[1], match[2]
    noun = f"{adjective} {forms['noun']}" if adjective else forms["noun"]
    word = forms.get(form, form)  # "the" and "my" stand before everything
    if word == "a" and noun[0].lower() in "aeiou" and noun != "ewe":
        word = "an"
    return f"{word} {noun}".strip()
