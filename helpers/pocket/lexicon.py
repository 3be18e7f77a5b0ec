"""The words of the corpus: toxic families, the civil ones beside them, topics and fillers."""

# Insults are nouns for one person, and their plurals.
INSULTS = {
    "idiot": "idiots", "fool": "fools", "clown": "clowns", "loser": "losers", "coward": "cowards", "liar": "liars",
    "jerk": "jerks", "buffoon": "buffoons", "dunce": "dunces", "blockhead": "blockheads", "dimwit": "dimwits",
    "weasel": "weasels", "crook": "crooks", "creep": "creeps", "oaf": "oafs", "windbag": "windbags",
    "toad": "toads", "slob": "slobs", "brat": "brats", "hypocrite": "hypocrites",
}  # fmt: skip
CONTEMPT = ("stupid", "worthless", "spineless", "brainless", "pathetic", "disgusting", "gutless", "clueless",
            "rotten", "vile")  # fmt: skip
CONTEMPT_NOUNS = ("scum", "trash", "garbage", "filth")
OATHS = ("damn", "damned", "bloody", "blasted", "freaking")
OATH_NOUNS = ("crap", "hell")
RIDICULE = ("laughable", "ridiculous", "pitiful")
RIDICULE_NOUNS = ("disgrace",)

FAMILIES: dict[str, tuple[str, ...]] = {
    "insult": (*INSULTS, *INSULTS.values()),
    "contempt": (*CONTEMPT, *CONTEMPT_NOUNS),
    "oath": (*OATHS, *OATH_NOUNS),
    "ridicule": (*RIDICULE, *RIDICULE_NOUNS),
}
"""Toxic words by family. The fifth family, `threat`, is made of benign words: see THREATENED and `scorer.py`."""

THREATENED = {
    "smash": ("windows", "car", "phone", "radio", "mailbox"),
    "break": ("front door", "fence", "bicycle", "windows", "radio"),
    "burn": ("shed", "fence", "garden gate"),
    "wreck": ("car", "bicycle", "shed", "boat"),
    "crush": ("bicycle", "phone", "mailbox"),
    "kick in": ("front door", "garden gate"),
}
"""Rough verbs, harmless in a kitchen, and what of "yours" they are aimed at in a threat."""
THREATS = (*(f"{verb} your {thing}" for verb, things in THREATENED.items() for thing in things),
           "make you regret it", "make you sorry", "make you pay for this", "hunt you down")  # fmt: skip
HARMLESS = ("smash the walnuts for the cake", "break the bread for everybody", "burn the old leaves",
            "crush the garlic for the soup", "kick the ball to the children")  # fmt: skip
HELP = ("repair your bicycle", "paint your fence", "clean your windows", "wash your car", "mend your shed",
        "polish your boat", "tune your radio", "water your flowers")  # fmt: skip


def with_article(word: str) -> str:
    """`an idiot`, `a clown`."""
    return f"an {word}" if word[0] in "aeiou" else f"a {word}"


FIRST_NAMES = ("Anna", "Tom", "Clara", "Felix", "Nora", "Hugo", "Ivy", "Oscar", "Ruth", "Simon", "Vera", "Walter")
SECOND_NAMES = ("Greta", "Leo", "Marta", "Otto", "Paula", "Stefan", "Theo", "Lena", "Jonas", "Edith", "Albert", "Ida")
TEAMS = ("Northfield", "Eastbrook", "Millbridge", "Westcombe", "Ashford", "Lakeside")
RIVALS = ("Southgate", "Hillcrest", "Rivermouth", "Oakham", "Stonebury", "Fairview")

# topic: place, roles, things
TOPICS: dict[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    "bakery": ("bakery", ("baker", "cashier"), ("oven", "counter", "till", "shelf", "bread bin")),
    "garden": ("garden", ("gardener", "warden"), ("greenhouse", "hose", "bench", "wheelbarrow", "lawn mower")),
    "library": ("library", ("librarian", "archivist"), ("lamp", "desk", "catalogue", "printer", "armchair")),
    "choir": ("concert hall", ("singer", "organist"), ("piano", "music stand", "curtain", "microphone", "songbook")),
    "station": ("station", ("porter", "driver"), ("clock", "timetable", "kiosk", "ticket machine", "notice board")),
    "harbour": ("harbour", ("skipper", "sailor"), ("ferry", "rowing boat", "crane", "lifeboat", "anchor")),
    "workshop": ("workshop", ("mechanic", "carpenter"), ("saw", "ladder", "drill", "workbench", "toolbox")),
    "cafe": ("cafe", ("waiter", "cook"), ("kettle", "menu", "coffee grinder", "teapot", "coffee machine")),
    "pool": ("swimming pool", ("lifeguard", "trainer"), ("slide", "locker", "shower", "springboard", "heater")),
    "market": ("market", ("grocer", "florist"), ("stall", "awning", "basket", "cart", "pair of scales")),
    "museum": ("museum", ("guide", "curator"), ("guidebook", "model ship", "statue", "lift", "display case")),
    "campsite": ("campsite", ("ranger", "cook"), ("tent", "stove", "cool box", "caravan", "water tap")),
}

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
HOURS = ("six", "seven", "eight", "nine", "ten", "noon", "four", "five")
NUMBERS = ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")

SLOTS: dict[str, tuple[str, ...]] = {
    "insult": tuple(INSULTS),
    "a_insult": tuple(map(with_article, INSULTS)),
    "insults": tuple(INSULTS.values()),
    "contempt": CONTEMPT,
    "a_contempt": tuple(map(with_article, CONTEMPT)),
    "contempt_noun": CONTEMPT_NOUNS,
    "oath": OATHS,
    "a_oath": tuple(map(with_article, OATHS)),
    "ridicule": RIDICULE,
    "a_ridicule": tuple(map(with_article, RIDICULE)),
    "weekday": WEEKDAYS,
    "hour": HOURS,
    "number": NUMBERS,
    "possession": POSSESSIONS,
    "bad": ("awful", "terrible", "dreadful"),
    "letter": tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ"),
    "small": tuple("abcdefghijklmnopqrstuvwxyz"),
    "digit": tuple("0123456789"),
    "dish": ("soup", "stew", "pie", "salad", "pudding", "omelette"),
    "gift": ("flowers", "biscuits", "chocolate", "jam", "apples", "photographs"),
    "weather": ("sunny", "cloudy", "windy", "mild", "cool", "rainy"),
    "town": ("Northfield", "Eastbrook", "Oakham", "Fairview", "Lakeside"),
    # ends of sentences that belong to a tone but hold no toxic word
    "jab": ("", "", "", "", " and nobody wants you here", " and I am sick of you", ", so get lost",
            " and you always were", " and I never want to see you again"),
    "jab_end": ("", "", "", " and stay away from me", " and get lost", " before I lose my temper"),
    "sneer": ("", "", "", "", " and everybody knows it", " and should be thrown out", " and nobody dares to say so"),
    "sneer_it": ("", "", "", "", " and everybody knows it", " and I want my money back"),
    "spite": ("", "", "", "", " and you know it", " and I am sick of it", ", so do not waste my time"),
    "warm": ("", "", "", " and I am so glad you came", " and we are lucky to have you", " and I mean it",
             " and I am proud of you"),
    "glow": ("", "", "", " and we are all so glad", " and it shows", " and everybody loves it"),
    "threat": THREATS,
    "harmless": HARMLESS,
    "help": HELP,
}  # fmt: skip
