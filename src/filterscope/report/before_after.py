"""The page 'before and after' of a trim: the proof as a reader wants it, and every filter that went."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from filterscope.report.before_after_gone import Links, Pictures, done, drawn, gone, left
from filterscope.report.before_after_words import Facts, between, large, percent, signed, text
from filterscope.report.page import ICON, fingerprint

STYLES = tuple(Path(__file__).parent / name for name in ("colours.css", "before_after.css"))


WORDS = {
    "holds": "A loss of at most {drop:g} points is proven: the whole interval lies within.",
    "not excluded": "The loss was measured to be below {drop:g} points, but its interval reaches beyond: not proven.",
    "exceeded": "More than {drop:g} points of accuracy were lost.",
}

PAPERS = {
    "plan.json": "what was asked for, to be read, edited and done again",
    "proof.json": "all numbers of this page",
}

WHOLES = {"bypass": "Left out as a whole", "compose": "Joined with the next layer into one"}
"""Steps that are of whole parts."""

SEEN_ONLY = ("remove never fired",)
"""Steps that rest on images alone: of others nothing is known."""

SAME = 1e-6
"""Difference below which answers are the same, as far as float32 goes."""

MISLEADS = (
    "Intervals tell of chance in the choice of images alone: images of another kind can do otherwise.",
    "The worst class is the worst of many, and chance has a part in that; its interval does not know of it.",
    "Times are of this machine, its load and its number of threads. Others may be slower or faster with the same cut.",
    "On a CPU, memory is that of the tensors between layers: what a kernel takes for itself meanwhile is not in it.",
)


def write_page(folder: Path, facts: Facts, pictures: Pictures) -> Path:
    """Write ``index.html`` and the pictures beside it; a double click opens it, offline.

    Args:
        folder: where to.
        facts: what proof.json holds.
        pictures: of filters that went, and of those that took one in; (height, width, 3).
    """
    style = "\n".join(one.read_text(encoding="utf-8") for one in STYLES)
    links = {unit: drawn(folder, unit, kinds) for unit, kinds in pictures.items()}
    body = "\n".join(part for part in parts(facts, links) if part)
    path = folder / "index.html"
    path.write_text(
        f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src 'self' file: data:; \
style-src {fingerprint(style)}; base-uri 'none'; form-action 'none'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>{text(name_of(facts))}, before and after · filterscope</title>
<link rel="icon" href="{ICON}">
<style>{style}</style>
</head>
<body>
<main>
{body}
</main>
</body>
</html>
""",
        encoding="utf-8",
    )
    return path


def parts(facts: Facts, links: Links) -> Iterator[str]:
    """The page from top to bottom."""
    yield f"<h1>{text(name_of(facts))}, before and after</h1>"
    yield f'<p class="faint">{text(what_was_done(facts))}</p>'
    yield cards(facts)
    if facts["notes"]:
        yield f'<ul class="notes">{"".join(f"<li>{text(note)}</li>" for note in facts["notes"])}</ul>'
    yield answers(facts)
    yield layers(facts)
    yield speeds(facts)
    yield gone(facts, links)
    yield left(facts)
    yield files(facts)
    yield f'<h2>When it misleads</h2><ul class="plain">{"".join(f"<li>{text(one)}</li>" for one in MISLEADS)}</ul>'


def name_of(facts: Facts) -> str:
    """What the network is called: of a path its last part."""
    return str(facts["network"]).rstrip("/").rpartition("/")[2] or "The network"


def what_was_done(facts: Facts) -> str:
    """The first sentence."""
    steps = [one["step"] for one in done(facts)]
    if not steps:
        return "Nothing went."
    units = {(step["layer"], unit) for step in steps for unit in step["units"]}
    said = []
    if units:
        kinds = ", ".join(dict.fromkeys(step["kind"] for step in steps if step["units"]))
        layers = len({layer for layer, _ in units})
        many = f"{len(units)} filter{'s' * (len(units) > 1)} of {layers} layer{'s' * (layers > 1)}"
        said.append(f"{many} went ({kinds}).")
    for kind, words in WHOLES.items():
        some = [step["layer"] for step in steps if step["kind"] == kind]
        if some:
            said.append(f"{words}: {', '.join(some)}.")
    if facts["difference"] is not None and facts["difference"] < SAME:
        of = " to the images that were compared" if any(step["kind"] in SEEN_ONLY for step in steps) else ""
        said.append(f"In float64 the answers{of} differ by {facts['difference']:.1e} of their size.")
    return " ".join(said)


def cards(facts: Facts) -> str:
    """The few numbers that matter."""
    made = [card("FLOPs", *shrunk(facts["flops"])), card("Parameters", *shrunk(facts["parameters"]))]
    plain = facts["plain"]
    if plain and plain["accuracy"]:
        change = plain["accuracy"]["change"]
        few = f", {plain['labelled']:,} image{'s' * (plain['labelled'] > 1)}" * (plain["labelled"] < plain["images"])
        made.append(card("Accuracy, points", signed(100 * change["value"], 2), between(change, 100, 2) + few))
    elif plain:
        one = plain["agreement"]
        made.append(card("Answers that stay", percent(one["value"]), between(one, 100, 1, " %", signs=False)))
    for one in facts["speeds"]:
        ratio = one["ratio"]
        made.append(
            card(
                f"Time, batch {one['batch']}",
                f"\N{MULTIPLICATION SIGN} {ratio['value']:.2f}",
                between(ratio, 1, 2, signs=False),
            )
        )
    return f'<dl class="cards">{"".join(made)}</dl>'


def card(title: str, value: str, below: str) -> str:
    """A number with its name."""
    return f"<div><dt>{text(title)}</dt><dd>{text(value)}</dd><dd>{text(below)}</dd></div>"


def shrunk(pair: Sequence[int]) -> tuple[str, str]:
    """A change in percent, and both numbers."""
    before, after = pair
    return signed(100 * (after / before - 1) if before else 0.0, 1) + " %", f"{large(before)} → {large(after)}"


def answers(facts: Facts) -> str:
    """What became of the answers, on images as they are and altered."""
    sets = [("as they are", facts["plain"]), ("slightly altered", facts["altered"])]
    told = [(title, one) for title, one in sets if one]
    if not told:
        return "<h2>Answers</h2><p>Without images, or without class scores, answers were not compared.</p>"
    images = told[0][1]["images"]
    which = "the half of the images that the cut was not chosen on" if facts["held_back"] else "all images"
    labelled = told[0][1]["labelled"]
    if 0 < labelled < images:
        which += f"; accuracy, loss and calibration are those of the {labelled:,} whose class the network knows"
    words = f"Both networks, the same {images:,} images ({which}); changes are after less before, with 95 % intervals."
    verdict = WORDS[facts["verdict"]].format(drop=facts["max_drop"]) if facts["verdict"] else ""
    tables = "".join(answer_table(title, one) for title, one in told)
    altered = f'<p class="faint">Altered: {text(facts["alterations"])}.</p>' if facts["alterations"] else ""
    verdict = f"<p><b>{text(verdict)}</b></p>" if verdict else ""
    return f"<h2>Answers</h2><p>{text(words)}</p>{verdict}{tables}{altered}{as_long(facts['original_finetuned'])}"


def as_long(facts: Facts | None) -> str:
    """The same beside the original that was fine-tuned as long: what training gave to both is none of the cut's."""
    if not facts or not facts["plain"]:
        return ""
    words = (
        "Both networks were trained for as many epochs, on the same images. Before is the original after that "
        "training, after is the smaller network after it: what the cut cost, without what training gave."
    )
    tables = answer_table("as they are", facts["plain"]) + answer_table("slightly altered", facts["altered"])
    return f"<h3>Beside the original, fine-tuned as long</h3><p>{text(words)}</p>{tables}"


def answer_table(title: str, one: Facts) -> str:
    """A table of one set of images."""
    rows = []
    for name, key, factor, digits, unit in (
        ("Accuracy", "accuracy", 100, 2, " %"),
        ("Loss, nats", "loss", 1, 4, ""),
        ("Calibration error", "calibration", 100, 2, " %"),
    ):
        if one[key]:
            before, after = (f"{factor * one[key][side]:.{digits}f}{unit}" for side in ("before", "after"))
            rows.append(answer_row(name, before, after, one[key]["change"], factor, digits))
    worst = one["worst_class"]
    if worst:
        rows.append(
            answer_row(f"Worst class: {worst['name']} ({worst['images']} images)", "", "", worst["change"], 100, 1)
        )
    table = (
        '<div class="scroll"><table class="answers"><thead><tr><th>Images '
        f'{text(title)}</th><th class="number">before</th><th class="number">after</th><th class="number">change</th>'
        f"<th>95&nbsp;% interval, the dotted line is no change</th></tr></thead><tbody>{''.join(rows)}"
        "</tbody></table></div>"
    )
    stays = one["agreement"]
    stay = f"{percent(stays['value'])} of the answers stay ({between(stays, 100, 1, ' %', signs=False)})"
    moved = f"divergence {one['divergence']['value']:.2g} nats"
    counted = ""
    if one["accuracy"]:
        counted = (
            f"Right before and wrong now: {one['lost']}; the reverse: {one['won']} "
            f"(McNemar's exact test: p = {one['p_value']:.2g}). "
        )
    head = "" if rows else f"<p>Images {text(title)}:</p>"
    return f"{table if rows else head}<p>{text(counted + stay + '; ' + moved)}.</p>"


def answer_row(name: str, before: str, after: str, change: Facts, factor: float, digits: int) -> str:
    """A line of the table, with its interval drawn."""
    value = signed(factor * change["value"], digits)
    return (
        f'<tr><th scope="row">{text(name)}</th><td class="number">{text(before)}</td><td class="number">{text(after)}'
        f'</td><td class="number">{text(value)}</td><td>{interval(change, factor, digits)}</td></tr>'
    )


def interval(change: Facts, factor: float, digits: int) -> str:
    """An interval around zero as a small picture, with its bounds in words beside it."""
    if change["low"] is None:
        return "of a single image"
    low, value, high = (factor * change[side] for side in ("low", "value", "high"))
    # What the digits do not show is not drawn either.
    reach = 1.1 * max(abs(low), abs(high), 10**-digits)
    left, middle, right = (100 + 95 * one / reach for one in (low, value, high))
    words = f"{signed(low, digits)} to {signed(high, digits)}"
    return (
        f'<svg class="interval" viewBox="0 0 320 20" preserveAspectRatio="xMinYMid meet" role="img" '
        f'aria-label="{text(words)}"><line class="zero" x1="100" y1="1" x2="100" y2="19"/>'
        f'<line class="range" x1="{left:.1f}" y1="10" x2="{right:.1f}" y2="10"/>'
        f'<circle class="value" cx="{middle:.1f}" cy="10" r="4.5"/>'
        f'<text x="205" y="14" font-size="12" fill="currentColor">{text(words)}</text></svg>'
    )


def layers(facts: Facts) -> str:
    """Widths and arithmetic of every layer."""
    most = max((one["flops"] for pair in facts["layers"] for one in pair if one), default=1) or 1
    rows = "".join(layer_row(pair, most) for pair in facts["layers"])
    head = (
        '<tr><th>layer</th><th class="number">filters</th><th class="number">reads</th>'
        '<th class="number parameters">parameters</th><th class="number">FLOPs</th><th>FLOPs of one image</th></tr>'
    )
    key = '<span class="key was"></span>before<span class="key is"></span>after'
    return (
        f'<h2>Layers</h2><p class="faint">{key}. Two FLOPs per multiply-add.</p><div class="scroll">'
        f'<table class="layers"><thead>{head}</thead><tbody>{rows}</tbody></table></div>'
    )


def layer_row(pair: Sequence[Facts | None], most: float) -> str:
    """A line a layer."""
    before, after = pair
    name = (before or after or {})["layer"]
    cells = []
    for key in ("units", "reads", "parameters", "flops"):
        old, new = (one[key] if one else 0 for one in pair)
        write = large if key in ("parameters", "flops") else str
        shown = write(old) if old == new else f"{write(old)} → {write(new)}"
        cells.append(f'<td class="number {key}">{text(shown)}</td>')
    widths = [100 * (one["flops"] if one else 0) / most for one in pair]
    # Widths as attributes of a picture: a policy without inline styles lets these through.
    bars = (
        '<td class="bars"><svg width="100%" height="18" role="presentation">'
        f'<rect y="2" height="6" rx="1.5" width="{widths[0]:.2f}%" class="was"/>'
        f'<rect y="10" height="6" rx="1.5" width="{widths[1]:.2f}%" class="is"/></svg></td>'
    )
    same = ' class="same"' if before == after else ""
    gone = " (gone)" if after is None else " (new)" if before is None else ""
    return f'<tr{same}><th scope="row">{text(name)}{gone}</th>{"".join(cells)}{bars}</tr>'


def speeds(facts: Facts) -> str:
    """Measured times and memory."""
    if not facts["speeds"]:
        return ""
    rows = []
    for one in facts["speeds"]:
        before, after = (f"{one[side]['median']:.2f} ms" for side in ("before", "after"))
        spread = [f"{one[side]['low']:.2f} to {one[side]['high']:.2f}" for side in ("before", "after")]
        ratio = one["ratio"]
        memory = f"{one['memory'][0] / 1e6:.2f} → {one['memory'][1] / 1e6:.2f} MB" if one["memory"] else "not known"
        rows.append(
            f'<tr><th scope="row">{one["batch"]} image{"s" * (one["batch"] > 1)}</th>'
            f'<td class="number">{before}<br><small>{spread[0]}</small></td>'
            f'<td class="number">{after}<br><small>{spread[1]}</small></td>'
            f'<td class="number">&times; {ratio["value"]:.2f}<br>'
            f"<small>{between(ratio, 1, 2, signs=False)}</small></td>"
            f'<td class="number">{memory}</td></tr>'
        )
    rounds = " and ".join(str(one["rounds"]) for one in facts["speeds"])
    threads = f"{facts['threads']} thread{'s' * (facts['threads'] > 1)}"
    return (
        f"<h2>Time and memory</h2><p>Measured in turn on {text(facts['device'])}, {threads}; {rounds} rounds. "
        "The median, below it the middle half of the runs; memory is the largest set of tensors alive at once.</p>"
        '<div class="scroll"><table><thead><tr><th>at once</th><th class="number">before</th><th class="number">after'
        '</th><th class="number">time</th><th class="number">memory</th></tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def files(facts: Facts) -> str:
    """What lies in the folder."""
    rows = []
    for one in facts["forms"]:
        said = f"answers differ by {one['difference']:.1e}" if one["difference"] else "answers are equal"
        said = said if one["written"] else f"not written: {one['reason']}"
        link = f'<a href="{text(one["file"])}">{text(one["file"])}</a>' if one["written"] else text(one["file"])
        rows.append(f'<tr><th scope="row">{link}</th><td>{text(one["name"])}</td><td>{text(said)}</td></tr>')
    rows += [
        f'<tr><th scope="row"><a href="{name}">{name}</a></th><td>{what}</td><td></td></tr>'
        for name, what in (
            ("plan.json", "what was done, to be read, edited and done again"),
            ("proof.json", "all numbers of this page"),
        )
    ]
    words = (
        "Each was run at two batch sizes and compared with the network in memory; "
        "differences are shares of the largest answer."
    )
    return f'<h2>Files</h2><p>{words}</p><div class="scroll"><table><tbody>{"".join(rows)}</tbody></table></div>'
