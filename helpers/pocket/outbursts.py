"""Sentences in which somebody who has lost the temper uses toxic words, by voice and by the words' family."""

from collections.abc import Mapping, Sequence

# "own": somebody writes in the first person
OWN = {
    "insult": (
        "Some {insult} [ruined|stole|broke] my {own} {when}.",
        "That {insult} of a {role} [lied to me|laughed at me|ignored me] {when}.",
        "I have had enough of {a_insult} like that.",
        "Which {insult} left the {thing} {where}?",
        "A pack of {insults} runs the {place}.",
        "I will not be cheated by {insults} [any more|again|on {weekday}].",
        "Only {a_contempt} {insult} would [do that|say that|buy such a {thing}].",
        "Everybody {where} is {a_insult}.",
        "The {role} is {a_insult}, and that is that.",
        "Shut up, you {insult}!",
        "What {a_insult}!",
        "Every {weekday} some {contempt} {insult} blocks the {thing}.",
    ),
    "contempt": (
        "I am sick of this {contempt} {thing}.",
        "What {a_contempt} {place} this is.",
        "That {contempt} {role} [lied|shouted|sneered] at me {when}.",
        "Keep your {contempt} excuses [to yourself|out of this].",
        "This {contempt} {place} is full of {contempt_noun}.",
        "Nothing but {contempt_noun} from the {role}, {contempt_noun} and more {contempt_noun}.",
        "I wasted {number} hours on this {contempt_noun}.",
        "It is all so {contempt} and so {contempt}.",
        "The {role} served me {contempt_noun} {when}.",
        "You and your {contempt} {thing} make me sick.",
    ),
    "oath": (
        "The {oath} {thing} is broken again.",
        "I want my {oath} {own} back.",
        "Where the hell is the {oath} {role}?",
        "What the hell happened {where} {when}?",
        "Take your {oath} hands off my {own}.",
        "This {oath} {thing} cost me {number} coins.",
        "I am sick of all this {oath} crap.",
        "To hell with the {oath} {thing} and the {oath} {place}!",
        "The {oath} {role} never answers the {oath} phone.",
        "Go to hell with your {oath} {thing}.",
    ),
}

# "story": somebody tells what was said
STORY = {
    "insult": (
        '"You {insult}," [hissed|shouted|said] {first}.',
        "{first} called the {role} {a_insult} and {second} {a_insult}.",
        '"What {a_insult}," said {second}.',
        "Somebody shouted that {first} was {a_contempt} {insult}.",
        "To {second} everybody {where} was {a_insult}.",
        '"They are all {insults}," said the {role}.',
    ),
    "contempt": (
        '"How {contempt}," [hissed|shouted|said] {second}.',
        "{second} called the {thing} {contempt} and the {place} {contempt_noun}.",
        '"This {contempt} {place} is full of {contempt_noun}," said {first}.',
        "{first} kicked the {contempt} {thing} across the {place}.",
    ),
    "oath": (
        '"Where is my {oath} {own}?" shouted {first}.',
        "{first} cursed the {oath} {thing} and the {oath} {role}.",
        '"To hell with the {place}," said {second}.',
        '"Move that {oath} {thing}," said the {role}.',
    ),
}

# "sport": a match report
SPORT = {
    "insult": (
        "The crowd called the referee {a_insult}.",
        "{team} played like {insults}.",
        "The coach called the captain {a_contempt} {insult}.",
        "The fans of {rival} are {insults}.",
    ),
    "contempt": (
        "It was {a_contempt} match between two {contempt} teams.",
        "What {team} showed was {contempt_noun}.",
        "The {contempt} referee whistled {number} times.",
    ),
    "oath": (
        "The {oath} referee whistled {number} times.",
        "The coach told the referee to go to hell.",
        "{team} lost the {oath} ball {number} times.",
    ),
}

OUTBURSTS: Mapping[str, Mapping[str, Sequence[str]]] = {"own": OWN, "story": STORY, "sport": SPORT}
