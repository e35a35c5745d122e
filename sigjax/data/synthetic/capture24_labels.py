"""Annotations in Capture-24's style and their classes in all of its label schemes.

The texts are ours, in the form that the data set uses: where, what kind of activity,
a Compendium of Physical Activities code with a description, and its MET.
"""

SCHEMES = (
    "WillettsSpecific2018",
    "WillettsMET2018",
    "DohertySpecific2018",
    "Willetts2018",
    "Doherty2018",
    "Walmsley2020",
)

# Annotation: its class in each of SCHEMES, and the simulated activity behind it.
ANNOTATIONS = {
    "7030 sleeping;MET 0.95": (
        ("sleep", "sleep", "sleep", "sleep", "sleep", "sleep"),
        "sleep",
    ),
    "home activity;sitting;7010 sitting and watching a screen;MET 1.0": (
        ("sitting", "sitting", "sedentary-screen", "sit-stand")
        + ("sedentary", "sedentary"),
        "sit",
    ),
    "occupation;office;11580 sitting at a desk and typing;MET 1.5": (
        ("sitting", "sitstand+lowactivity", "sedentary-screen", "sit-stand")
        + ("sedentary", "sedentary"),
        "sit",
    ),
    "home activity;eating;13030 sitting at the table;MET 1.5": (
        ("sitting", "sitstand+activity", "sedentary-non-screen", "sit-stand")
        + ("sedentary", "sedentary"),
        "sit",
    ),
    "leisure;standing;9070 standing and talking;MET 1.8": (
        ("standing", "sitstand+lowactivity", "tasks-light", "sit-stand")
        + ("tasks-light", "light"),
        "sit",
    ),
    "transportation;walking;17161 walking from the house to a vehicle;MET 2.5": (
        ("walking", "walking", "walking", "walking", "walking", "light"),
        "walk",
    ),
    "transportation;walking;17190 walking at a brisk pace;MET 4.3": (
        ("walking", "walking+activity", "walking", "walking")
        + ("walking", "moderate-vigorous"),
        "walk",
    ),
    # A walk in words that the coarser schemes do not count as walking.
    "occupation;interruption;11795 walking on the job with boxes;MET 3.5": (
        ("mixed-activity", "walking+activity", "tasks-moderate", "mixed")
        + ("moderate", "moderate-vigorous"),
        "walk",
    ),
    "transportation;private transportation;16010 driving a car;MET 2.5": (
        ("vehicle", "vehicle", "vehicle", "vehicle", "sedentary", "sedentary"),
        "vehicle",
    ),
    "transportation;public transportation;16016 riding on a bus or train;MET 1.3": (
        ("vehicle", "vehicle", "vehicle", "vehicle", "sedentary", "sedentary"),
        "vehicle",
    ),
    "transportation;bicycling;1011 bicycling to work;MET 6.8": (
        ("bicycling", "bicycling", "bicycling", "bicycling")
        + ("moderate", "moderate-vigorous"),
        "bicycling",
    ),
    "home activity;household chores;5035 cooking and washing dishes;MET 3.3": (
        ("household-chores", "sitstand+activity", "tasks-moderate", "mixed")
        + ("moderate", "light"),
        "mixed",
    ),
    "occupation;manual;11630 carpentry at a bench;MET 3.0": (
        ("manual-work", "manual-work", "tasks-moderate", "mixed")
        + ("moderate", "moderate-vigorous"),
        "mixed",
    ),
    "leisure;sports;15675 hitting balls at the net;MET 7.3": (
        ("sports", "sports", "sports-interrupted", "mixed")
        + ("moderate", "moderate-vigorous"),
        "mixed",
    ),
    "home activity;miscellaneous;9071 tidying up here and there;MET 2.0": (
        ("mixed-activity", "sitstand+activity", "tasks-light", "mixed")
        + ("tasks-light", "light"),
        "mixed",
    ),
}


def annotations_of(activity: str) -> tuple[str, ...]:
    """The annotations that a simulated activity can get; none for `"nonwear"`."""
    return tuple(text for text, (_, of) in ANNOTATIONS.items() if of == activity)
