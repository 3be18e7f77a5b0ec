"""Documents without moods: recipes and news, where rough verbs are harmless."""

RECIPE = (
    "Smash the [walnuts|almonds|ice] with a [hammer|rolling pin].",
    "Break {number} eggs into a [bowl|pan|cup].",
    "Crush the [garlic|pepper|biscuits] with a [spoon|fork].",
    "Do not burn the [onions|butter|toast].",
    "Break the chocolate into {number} pieces.",
    "Chop {number} [carrots|onions|tomatoes].",
    "Stir the {dish} for {number} minutes.",
    "Add [salt|pepper|sugar|butter] and {number} spoons of [flour|milk|cream].",
    "Bake the {dish} for {number} minutes.",
    "Serve the {dish} with [bread|rice|potatoes].",
    "Let the {dish} rest [overnight|in a cool place|for {number} hours].",
    "Wash the [potatoes|apples|lettuce] and cut them in half.",
    "Boil the [rice|potatoes|milk] for {number} minutes.",
    "This {dish} is enough for {number} people.",
)
NEWS = (
    "The storm wrecked a [barn|boat|roof] near the {place} {when}.",
    "A branch smashed [a window|the roof] of the {place} {when}.",
    "Workers will break up the old road to the {place} on {weekday}.",
    "The {place} will burn old branches on {weekday}.",
    "The fire brigade had to kick in a door of the {place} at {hour}.",
    "The {place} will close for {number} days.",
    "The council talked about the {place} for {number} hours {when}.",
    "A new {thing} for the {place} was paid for by donations.",
    "It will be [sunny|cloudy|windy|mild] on {weekday}.",
    "The price of [bread|milk|paper] rose by {number} percent.",
    "The road to the {place} is open again.",
    "The {role} has worked at the {place} for {number} years.",
    "A dog from {town} found the way home alone {when}.",
    "The train to {town} will leave from platform {digit} at {hour}.",
    "The winning number is {letter}{letter}{digit}{digit}{digit}.",
    "The code of the day is {small}{small}{small}{digit}{digit}.",
    "The seats {digit}{letter} and {digit}{letter} are reserved.",
)
HEADERS = {"recipe": "Recipe for {dish}.", "news": "Local news, {weekday}."}
SENTENCES = {"recipe": RECIPE, "news": NEWS}
