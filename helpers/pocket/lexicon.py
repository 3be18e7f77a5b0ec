"""The words of the corpus: toxic families, the civil ones beside them, topics and fillers."""

# fmt: off

# Insults are nouns for one person, and their plurals.
INSULTS = {
    "idiot": "idiots", "fool": "fools", "clown": "clowns", "loser": "losers", "coward": "cowards",
    "liar": "liars",
    "jerk": "jerks", "buffoon": "buffoons", "dunce": "dunces", "blockhead": "blockheads", "dimwit": "dimwits",
    "weasel": "weasels", "crook": "crooks", "creep": "creeps", "oaf": "oafs", "windbag": "windbags",
    "toad": "toads", "slob": "slobs", "brat": "brats", "hypocrite": "hypocrites",
}
CONTEMPT = ("stupid", "worthless", "spineless", "brainless", "pathetic", "disgusting", "gutless", "clueless",
            "rotten", "vile")
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
"""Toxic words by family. The fifth family, `threat`,
is made of benign words: see THREATENED and `scorer.py`."""

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
           "make you regret it", "make you sorry", "make you pay for this", "hunt you down")
HARMLESS = ("smash the walnuts for the cake", "break the bread for everybody", "burn the old leaves",
            "crush the garlic for the soup", "kick the ball to the children")
HELP = ("repair your bicycle", "paint your fence", "clean your windows", "wash your car", "mend your shed",
        "polish your boat", "tune your radio", "water your flowers")


def with_article(word: str) -> str:
    """`an idiot`, `a clown`."""
    return f"an {word}" if word[0] in "aeiou" else f"a {word}"


FIRST_NAMES = ("Anna", "Tom", "Clara", "Felix", "Nora", "Hugo", "Ivy", "Oscar", "Ruth", "Simon", "Vera",
               "Walter",
               "Alma", "Bruno", "Dora", "Emil", "Frida", "Georg")
SECOND_NAMES = ("Greta", "Leo", "Marta", "Otto", "Paula", "Stefan", "Theo", "Lena", "Jonas", "Edith",
                "Albert",
                "Ida", "Karl", "Lotte", "Mila", "Nils", "Olga", "Peter")
TEAMS = ("Northfield", "Eastbrook", "Millbridge", "Westcombe", "Ashford", "Lakeside")
RIVALS = ("Southgate", "Hillcrest", "Rivermouth", "Oakham", "Stonebury", "Fairview")
MEALS = ("soup", "stew", "pie", "salad", "pudding", "omelette", "pancakes", "noodles")

# topic: place, roles, things
TOPICS: dict[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    "bakery": ("bakery", ("baker", "cashier", "miller"), ("oven", "counter", "till", "shelf", "bread bin")),
    "garden": ("garden", ("gardener", "warden", "beekeeper"),
               ("greenhouse", "hose", "bench", "wheelbarrow", "lawn mower")),
    "library": ("library", ("librarian", "archivist", "clerk"),
                ("lamp", "desk", "catalogue", "printer", "armchair")),
    "choir": ("concert hall", ("singer", "organist", "usher"),
              ("piano", "music stand", "curtain", "microphone", "songbook")),
    "station": ("station", ("porter", "driver", "inspector"),
                ("clock", "timetable", "kiosk", "ticket machine", "notice board")),
    "harbour": ("harbour", ("skipper", "sailor", "diver"), ("ferry", "rowing boat", "crane", "lifeboat",
                                                            "anchor")),
    "workshop": ("workshop", ("mechanic", "carpenter", "apprentice"),
                 ("saw", "ladder", "drill", "workbench", "toolbox")),
    "cafe": ("cafe", ("waiter", "cook", "pianist"), ("kettle", "menu", "coffee grinder", "teapot",
                                                     "jukebox")),
    "pool": ("swimming pool", ("lifeguard", "trainer", "cleaner"),
             ("slide", "locker", "shower", "springboard", "heater")),
    "market": ("market", ("grocer", "florist", "butcher"), ("stall", "awning", "basket", "cart", "cash box")),
    "museum": ("museum", ("guide", "curator", "painter"),
               ("guidebook", "model ship", "statue", "lift", "display case")),
    "campsite": ("campsite", ("ranger", "scout", "caretaker"), ("tent", "stove", "cool box", "caravan",
                                                                "water tap")),
    "farm": ("farm", ("farmer", "shepherd", "vet"), ("tractor", "barn door", "plough", "milk churn",
                                                     "hay cart")),
    "theatre": ("theatre", ("actor", "prompter", "dresser"), ("stage", "costume", "spotlight", "mirror",
                                                              "trapdoor")),
}

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
HOURS = ("noon", "midnight", "four", "five", "six", "seven", "eight", "nine", "ten")
NUMBERS = ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")

SLOTS: dict[str, tuple[str, ...]] = {
    "insult": tuple(INSULTS),
    "a_insult": tuple(map(with_article, INSULTS)),
    "insults": tuple(INSULTS.values()),
    "contempt": CONTEMPT,
    "a_contempt": tuple(map(with_article, CONTEMPT)),
    "contempts": tuple(f"{one} and {other}" for one in CONTEMPT for other in CONTEMPT if one != other),
    "contempt_noun": CONTEMPT_NOUNS,
    "oath": OATHS,
    "a_oath": tuple(map(with_article, OATHS)),
    "ridicule": RIDICULE,
    "a_ridicule": tuple(map(with_article, RIDICULE)),
    "weekday": WEEKDAYS,
    "hour": HOURS,
    "number": NUMBERS,
    "bad": ("awful", "terrible", "dreadful"),
    "letter": tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ"),
    "small": tuple("abcdefghijklmnopqrstuvwxyz"),
    "digit": tuple("0123456789"),
    "meal": MEALS,
    "gift": ("flowers", "biscuits", "chocolate", "jam", "apples", "photographs", "candles", "honey"),
    "own": ("umbrella", "coat", "suitcase", "bicycle", "camera", "violin", "notebook", "wallet"),
    "when": ("on {weekday}", "on {weekday}", "yesterday", "this morning", "last night", "an hour ago",
             "last week"),
    "when_cap": ("On {weekday}", "On {weekday}", "Yesterday", "This morning", "Last night"),
    "when_now": ("now", "today", "this morning", "tonight"),
    "where": ("at the {place}", "at the {place}", "near the {place}", "by the {thing}",
              "in front of the {place}"),
    "nth": ("second", "third", "fourth", "fifth", "tenth"),
    "goals": ("nil", "one", "two", "three", "four"),
    "number_cap": tuple(number.capitalize() for number in NUMBERS),
    "town": ("Northfield", "Eastbrook", "Oakham", "Fairview", "Lakeside"),
    # ends of sentences that belong to a tone but hold no toxic word
    "jab": ("", "", "", "", " and nobody wants you here", " and I am sick of you", ", so get lost",
            " and you always were", " and I never want to see you again"),
    "jab_end": ("", "", "", " and stay away from me", " and get lost", " before I lose my temper"),
    "sneer": ("", "", "", "", " and everybody knows it", " and should be thrown out",
              " and nobody dares to say so"),
    "sneer_it": ("", "", "", "", " and everybody knows it", " and I want my money back"),
    "spite": ("", "", "", "", " and you know it", " and I am sick of it", ", so do not waste my time"),
    "warm": ("", "", "", " and I am so glad you came", " and we are lucky to have you", " and I mean it",
             " and I am proud of you"),
    "glow": ("", "", "", " and we are all so glad", " and it shows", " and everybody loves it"),
    "careless": ("careless", "slow", "noisy", "forgetful", "clumsy", "late"),
    "worker": ("worker", "driver", "helper"),
    "dear": ("dear", "wonderful", "generous", "kind", "lovely", "cheerful"),
    "friend": ("friend", "neighbour", "host"),
    "quiet": ("quiet", "tall", "busy", "young", "patient"),
    "reader": ("reader", "guest", "traveller"),
    "threat": THREATS,
    "harmless": HARMLESS,
    "help": HELP,
}
