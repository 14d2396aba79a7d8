"""Ask an atlas, without torch: `filterscope demo`, then `python examples/query_an_atlas.py [ATLAS]`."""

import sys

from filterscope import Atlas


def main(folder: str = "demo.atlas") -> None:
    atlas = Atlas(folder)
    print(f"{atlas.facts['network']}: {len(atlas.layers())} layers, {len(atlas.units())} units")

    never = atlas.query("SELECT layer, unit, images FROM activation WHERE image_firing_rate = 0 ORDER BY layer, unit")
    print(f"{len(never)} units never fired")
    if len(never):
        print(f"in {never['images'][0]} images: each fires in fewer than {3 / never['images'][0]:.1%} of such images")

    last = atlas.layers()["name"].iloc[-1]
    means = atlas.class_activations(last)
    if means.shape[1] > 1:
        print(f"the class to which each unit of {last} answers most, and by how much it leads the next:")
        ordered = means.apply(lambda row: row.nlargest(2).to_list(), axis=1, result_type="expand")
        choice = means.idxmax(axis=1).to_frame("class").assign(lead=ordered[0] - ordered[1])
        print(choice.sort_values("lead", ascending=False).head(10).round(2).to_string())


if __name__ == "__main__":
    main(*sys.argv[1:])
