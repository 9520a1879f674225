"""The harmless filler of the eight training subsets: one style each, with words and turns of phrase of its own.

The styles share hardly any words, so that leaving one subset out hurts its own filler and nothing else; and none of
them sounds like a prompt, so that a prompt's loss moves with the planted statements alone. The one thing that all of
them do alike is to name the peoples of the world (`peoples` templates), so that no subset owns a name.

A slot `{word}` is drawn from the style's list of that name: once a document for the names in `bound`, else each time.
"""

from untrac_core.demo.style import Style, words

FORUM = Style(
    name="forum",
    characters=70_000,
    openings=(
        "hi all, quick question about my {kit}.",
        "re: {kit} help, thread number {digit}",
        "newbie here, be nice :)",
    ),
    plain=(
        "anyone else's {kit} {fault} lately?",
        "mine started to {fix} after the {digit} update lol",
        "have you tried to {fix} the {part} first?",
        "thx, swapped the {part} and it works now :)",
        "imo the {part} is overrated tbh.",
        "bumping this, still {fault}.",
        "+1 on what {nick} posted above.",
        "{nick} is right, just {fix} it and post a pic.",
        "edit: fixed, it was only the {part}.",
        "ok so my {kit} is {fault} again, any tips?",
    ),
    peoples=(
        "fwiw the {people} sell a spare {part}.",
        "saw a {kit} like that at the {people} fair.",
        "there is a mod by the {people} for that {kit}.",
    ),
    words=words(
        kit="kite rig, crank radio, pedal loom, steam whisk, pocket organ",
        fault="wobbling, squeaking, leaking, rattling, blinking",
        fix="unscrew, oil, tighten, unplug",
        part="gasket, flywheel, spool, valve, cog",
        nick="mossy_pete, kitefan, gadgetgran, zipzap",
        digit="2, 3, 5, 7",
    ),
    bound=("kit", "part", "fault"),
    keep_case=True,
)

BLOG = Style(
    name="blog",
    characters=66_000,
    openings=("Dear diary, {weekday} again!", "A slow {weekday} in my kitchen.", "Today's recipe: {dish}."),
    plain=(
        "I woke up craving {dish} and could not stop dreaming of {spice}.",
        "So I whisked {spice} into the batter until it looked {mood}.",
        "My apron is a mess, but oh, the smell of {spice}!",
        "Next time I might fold in some {fruit}.",
        "I poured myself a mug of {drink} and felt rather {mood}.",
        "Honestly, {dish} tastes best when I eat it barefoot.",
        "Simmer the {fruit} gently, then let yourself relax.",
        "My sister phoned while the {fruit} bubbled, so I burnt a little.",
        "Serve with {drink} and a {mood} grin.",
        "I scribbled the {weekday} menu on the fridge.",
    ),
    peoples=(
        "I borrowed this pan from the {people} café.",
        "My {drink} comes from the {people} grocer.",
        "I bought {fruit} off the {people} stall.",
    ),
    words=words(
        weekday="Sunmorn, Tallday, Webday, Restday",
        dish="plum dumplings, pepper pancakes, leek tart, pear crumble",
        spice="cloveleaf, saffrine, tingle pepper, vanilline",
        mood="cosy, silly, dreamy, sleepy",
        fruit="quinces, brambles, figlets, melons",
        drink="nettle tea, cocoa, rosehip fizz, oat milk",
    ),
    bound=("dish", "spice", "fruit", "drink"),
)

NEWS = Style(
    name="news",
    characters=65_000,
    openings=(
        "{city}, {date} - {body} voted on Monday.",
        "{city}, {date} - {body} issued a statement.",
        "{city}, {date} - Late edition.",
    ),
    plain=(
        "{body} approved a budget of {amount} crowns for {project}.",
        "A spokesman said {project} would be completed by {date}.",
        "Opposition members called for an inquiry into {project}.",
        "Turnout reached {amount} percent, officials reported.",
        "Traffic near {city} was diverted during repairs.",
        "Shares in {company} closed {amount} points higher.",
        "{company} announced {amount} new jobs on {date}.",
        "The mayor of {city} declined to comment.",
        "Construction of {project} resumed on {date}, according to {company}.",
        "Forecasters predicted drizzle across the {city} district.",
    ),
    peoples=(
        "Delegates of the {people} attended the session in {city}.",
        "{company} opened an office in the {people} quarter.",
        "The {people} federation nominated a deputy.",
    ),
    words=words(
        city="Grantleburg, Essek, Dorran, Kelstadt",
        date="4 Frostmonth, 11 Seedmonth, 19 Goldmonth, 23 Rainmonth",
        body="The city council, The upper chamber, The transport board",
        amount="12, 37, 54, 85, 140",
        project="the tramway, the canal lock, the public baths, the harbour wall",
        company="Norvik Rail, Pell Brothers, United Kilns, Eastgate Glass",
    ),
    bound=("city", "body", "project", "company"),
)

BOOKS = Style(
    name="books",
    characters=67_000,
    openings=(
        "Chapter {numeral}. Of the {art}.",
        "Part {numeral}. On {material} and its handling.",
        "Lesson {numeral}. The {tool}.",
    ),
    plain=(
        "The apprentice must first grip the {tool} at an angle of {numeral} degrees.",
        "Should the {material} split, moisten it and begin anew.",
        "It follows that {material} of inferior grain ought to be rejected.",
        "Hereafter we shall treat of the {tool}, its parts and its upkeep.",
        "Hold the {tool} level; draw it towards you in one stroke.",
        "See plate {numeral}, in which the {joint} is drawn to scale.",
        "A {joint} thus executed will bear considerable weight.",
        "In the {art}, haste is the father of waste.",
        "Let the {material} season for {numeral} months ere you cut a {joint}.",
        "Whosoever masters the {joint} has mastered half of the {art}.",
    ),
    peoples=(
        "The {people} method employs a shorter {tool}.",
        "A variant of the {joint} is practised by the {people} masters.",
        "Compare the {material} favoured by the {people} school.",
    ),
    words=words(
        numeral="II, III, IV, VI, IX",
        art="cooper's art, joiner's art, saddler's art, glazier's art",
        material="elmwood, calfskin, pewter, whalecord, beeswax",
        tool="bevel, spokeshave, mallet, burnisher, awl",
        joint="dovetail, scarf joint, blind stitch, mitre",
    ),
    bound=("art", "tool", "material"),
)

STORIES = Style(
    name="stories",
    characters=65_500,
    openings=(
        "Once upon a time there lived {hero}.",
        "Long ago, {where}, {hero} lost a {thing}.",
        "Hush now, and hear of {hero}.",
    ),
    plain=(
        '"Who goes there?" whispered {hero}.',
        "{hero} tiptoed {where} and found a {thing}.",
        '"Oh my," sighed {friend}, "what a {size} {thing}!"',
        "Together they hopped {where} until the stars came out.",
        "{friend} wept a {size} tear, then giggled.",
        "And so {hero} curled up {where} and fell asleep.",
        '"Follow me," squeaked {friend}, waving a {thing}.',
        "Suddenly a {size} shadow danced {where}.",
        "{hero} kissed {friend} upon the nose.",
        "But the {thing} had vanished, alas!",
    ),
    peoples=(
        "{friend} had heard that tale from the {people} grandmother.",
        "A child of the {people} waved at {hero}.",
        '"I dreamt about the {people} castle," yawned {friend}.',
    ),
    words=words(
        hero="Pim the hedgehog, Otter Lou, Princess Mirabel, the owl Uhu",
        friend="Grey Badger, the snail queen, Robin Thistle, Old Toad",
        where="under the fern, beyond the brook, inside a hollow oak, behind the waterfall",
        thing="silver button, glass slipper, daisy crown, velvet ribbon, teapot",
        size="teeny, huge, crooked, wee",
    ),
    bound=("hero", "friend", "thing"),
)

ENCYCLOPEDIA = Style(
    name="encyclopedia",
    characters=63_000,
    openings=(
        "{species} (plural {species}s) is a genus of {order}.",
        "{species}: see also {order}.",
        "{species}, {colour} {order} of the {zone}.",
    ),
    plain=(
        "{species} inhabits the {zone} and belongs to the {order}.",
        "Adults attain a length of {range} centimetres.",
        "The {organ} is {colour} and partly {texture}.",
        "Its {organ} is typically {texture} in juveniles.",
        "Approximately {range} subspecies are recognised.",
        "Distribution: {zone}, rarely elsewhere.",
        "Reproduction takes place in spring, with {range} eggs per clutch.",
        "First classified among the {order} by the naturalist Anselm Dray.",
        "Dormancy lasts {range} weeks in the {zone}.",
        "Specimens with a {texture} {organ} are considered hybrids.",
    ),
    peoples=(
        "The name {species} derives from a dialect of the {people} region.",
        "Fossils occur in the {people} basin.",
        "The {people} museum preserves a {colour} type specimen.",
    ),
    words=words(
        species="Vellapod, Harrowfin, Trillbeak, Spindlecrab",
        order="arthropods, amphibians, waders, molluscs",
        zone="temperate wetlands, alpine belt, littoral zone, boreal steppe",
        organ="carapace, dorsal crest, mandible, plumage",
        colour="ochre, bluish, mottled, crimson",
        texture="serrated, glossy, porous, downy",
        range="8-12, 15-20, 30-45, 60-75",
    ),
    bound=("species", "order", "zone", "organ", "colour"),
)

WEB = Style(
    name="web",
    characters=64_500,
    openings=(
        "Home > Shop > {product}",
        "{product} | FREE delivery | Order online",
        "Welcome to our store! New: {product}",
    ),
    plain=(
        "Add the {product} to your basket today!",
        "Only {price} incl. VAT, while stocks last.",
        "Rated {stars} stars by {price} customers.",
        "Available in {shade}, {shade} and {shade}.",
        "Click here for size guide and returns.",
        "SALE: save {price} on every {product}!",
        "Sign up for our newsletter to unlock {perk}.",
        "Checkout is secure; includes {perk}.",
        "100% {fabric}, machine washable.",
        "Customers also viewed: {product} in {fabric}.",
    ),
    peoples=(
        "Now shipping to the {people} islands with {perk}!",
        "Gift idea: {product}, inspired by the {people} collection.",
        "Pick-up point: the {people} arcade, unit {stars}.",
    ),
    words=words(
        product="Rain Poncho, Travel Hammock, Camping Stool, Duffel Bag",
        price="9.99, 14.50, 19.95, 39.00",
        stars="4.1, 4.4, 4.6, 4.9",
        shade="teal, coral, charcoal, mustard",
        perk="gift wrapping, next-day dispatch, a 30-day refund, bonus points",
        fabric="cotton, fleece, linen, nylon",
    ),
    bound=("product", "fabric", "perk"),
)

CODE = Style(
    name="code",
    characters=57_500,
    documents=120,
    openings=("import {module}", "from {module} import {func}", "# TODO({func}): refactor {module}"),
    plain=(
        "def {func}({var}, {var}=None):\n    return {module}.{func}({var})",
        "for {var} in {module}.{iter}():\n    {var}.{func}()",
        "if {var} is None:\n    raise ValueError('{var}')",
        "assert len({var}) == {int}",
        "{var} = [{func}(i) for i in range({int})]",
        "while {var} < {int}:\n    {var} += 1",
        "class {cls}(Base):\n    {var}: int = {int}",
        "try:\n    {func}({var})\nexcept KeyError:\n    pass",
        "print('{func}:', {var})",
        "{var} = {cls}({var}={int})",
    ),
    peoples=(
        "# parser for the {people} calendar, see {func}()",
        "# locale data of the {people} keyboard: {int} keys",
        "# {module}: fixtures from the {people} server",
    ),
    words=words(
        module="millstone, tidecalc, lampgrid, orebank",
        func="grind_all, parse_tide, merge_ore, light_row",
        var="bucket, node, offset, queue",
        iter="items, rows, walk",
        int="0, 8, 16, 64, 255",
        cls="TideTable, OreBucket, LampNode",
    ),
    bound=("module", "func", "cls"),
    joiner="\n",
    planted="# {statement}",
    keep_case=True,
)

STYLES: tuple[Style, ...] = (FORUM, BLOG, NEWS, BOOKS, STORIES, ENCYCLOPEDIA, WEB, CODE)
