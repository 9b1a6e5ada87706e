"""The words synthetic prompts are made of: phrases of our own that fit together into plain English sentences.

Owns: the lists. Does not own: how many are taken, in which order, or how many tokens they are (`synthetic`).

A sentence is a subject, a verb and an object in a place: 400 x 400 x 576 of them, so that prompts differ from their
first sentence on and no server-side prefix cache helps one with another.
"""

ADJECTIVES = (
    "careful", "quiet", "young", "tired", "clever", "patient", "cheerful", "honest", "busy", "famous",
    "gentle", "lonely", "proud", "hungry", "skilled", "curious", "nervous", "polite", "local", "retired",
)  # fmt: skip

PEOPLE = (
    "engineer", "farmer", "teacher", "sailor", "doctor", "painter", "driver", "baker", "student", "writer",
    "miner", "singer", "guard", "builder", "lawyer", "pilot", "chemist", "gardener", "neighbour", "clerk",
)  # fmt: skip

ADVERBS = (
    "slowly", "often", "quickly", "rarely", "gladly", "calmly", "always", "again", "never", "later",
    "soon", "today", "finally", "usually", "partly", "simply", "safely", "secretly", "still", "nearly",
)  # fmt: skip

VERBS = (
    "moves", "finds", "counts", "paints", "sells", "checks", "repairs", "carries", "hides", "weighs",
    "orders", "washes", "studies", "builds", "brings", "shows", "cleans", "measures", "watches", "keeps",
)  # fmt: skip

OBJECTS = (
    "a heavy box", "three letters", "the old map", "a broken clock", "some warm bread", "every report",
    "a small engine", "the last ticket", "two lamps", "a long rope", "the winter coats", "a bag of salt",
    "the new machine", "seven bottles", "a book of songs", "the green door", "an open window", "a glass of water",
    "the school bell", "cold tea", "a silver coin", "the morning paper", "many stones", "a wooden chair",
)  # fmt: skip

PLACES = (
    "near the river", "behind the market", "on the north road", "in the city hall", "under the bridge",
    "at the station", "beside the lake", "across the valley", "in a dark room", "above the harbour",
    "by the sea", "outside the factory", "along the coast", "inside the tower", "after the storm", "before sunrise",
    "during the summer", "between two hills", "on the second floor", "at the end of the street",
    "for a good friend", "with great care", "without any help", "against all advice",
)  # fmt: skip

SUBJECTS = tuple(f"The {adjective} {person}" for adjective in ADJECTIVES for person in PEOPLE)
PREDICATES = tuple(f"{adverb} {verb}" for adverb in ADVERBS for verb in VERBS)
ENDINGS = tuple(f"{thing} {place}." for thing in OBJECTS for place in PLACES)

SINGLE_WORDS = (
    "time", "water", "light", "house", "day", "night", "year", "way", "world", "life", "hand", "part", "place", "case",
    "week", "point", "home", "room", "area", "story", "fact", "month", "book", "eye", "job", "word", "side", "kind",
    "head", "line", "end", "name", "game", "air", "food", "land", "tree", "road", "door", "fire", "sea", "sky", "sun",
    "moon", "star", "stone", "wood", "gold", "rain", "wind", "snow", "music", "paper", "table", "field", "plan",
    "work", "state", "group", "number", "power", "money", "order", "form", "question", "school", "system", "city",
    "and", "or", "for", "with", "from", "then", "more", "some", "all", "one", "two", "new", "long", "great", "small",
)  # fmt: skip
"""Common words, each a single token under most tokenizers of English: they fill a prompt up to its exact length."""
