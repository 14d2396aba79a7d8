/** The address of every view: what stands after the # and can be mailed. */

export interface Place {
  /** Number of the atlas on this page, from 0. */
  atlas: number;
  layer: string;
  unit: number | null;
}

export type View =
  | { kind: "overview" }
  | { kind: "network" }
  | { kind: "layer"; layer: string }
  | { kind: "filter"; layer: string; unit: number }
  | { kind: "classes" }
  | { kind: "class"; name: string }
  | { kind: "diagnosis" }
  | { kind: "compare"; places: Place[] }
  | { kind: "unknown"; path: string };

export interface Route {
  atlas: number;
  view: View;
  /** Choices within the view: `tile`, `sort`, `where`, ... */
  query: Record<string, string>;
}

/** Read an address such as "#/features.3.squeeze/17?tile=patch". */
export function parseRoute(hash: string): Route {
  const [path = "", search = ""] = split(hash.replace(/^#\/?/, ""), "?");
  const parts = path.split("/").filter(Boolean).map(decoded);
  const query = Object.fromEntries(new URLSearchParams(search));
  let atlas = 0;
  const chosen = /^@(\d+)$/.exec(parts[0] ?? "");
  if (chosen) {
    atlas = Number(chosen[1]) - 1;
    parts.shift();
  }
  return { atlas, view: parseView(parts), query };
}

function parseView(parts: string[]): View {
  const [first, second] = parts;
  if (first === undefined) return { kind: "overview" };
  if (first === "~network") return { kind: "network" };
  if (first === "~classes") return { kind: "classes" };
  if (first === "~diagnosis") return { kind: "diagnosis" };
  if (first === "~class" && second !== undefined) return { kind: "class", name: second };
  if (first === "~compare") return { kind: "compare", places: parts.slice(1).map(parsePlace) };
  if (second === undefined) return { kind: "layer", layer: first };
  if (/^\d+$/.test(second) && parts.length === 2) return { kind: "filter", layer: first, unit: Number(second) };
  return { kind: "unknown", path: parts.join("/") };
}

/** A place as text: "features.3:17", of another atlas "2@features.3:17". */
export function placeName(place: Place): string {
  const unit = place.unit === null ? "" : `:${place.unit}`;
  return `${place.atlas ? `${place.atlas + 1}@` : ""}${place.layer}${unit}`;
}

export function parsePlace(text: string): Place {
  const found = /^(?:(\d+)@)?(.*?)(?::(\d+))?$/.exec(text);
  return {
    atlas: found?.[1] ? Number(found[1]) - 1 : 0,
    layer: found?.[2] ?? text,
    unit: found?.[3] === undefined ? null : Number(found[3]),
  };
}

/** The address of a view, the inverse of `parseRoute`. */
export function address(view: View, atlas = 0, query: Record<string, string> = {}): string {
  const parts = viewParts(view);
  if (atlas) parts.unshift(`@${atlas + 1}`);
  const search = new URLSearchParams(query).toString();
  return `#/${parts.map(encoded).join("/")}${search ? `?${search}` : ""}`;
}

function viewParts(view: View): string[] {
  switch (view.kind) {
    case "overview":
      return [];
    case "network":
    case "classes":
    case "diagnosis":
      return [`~${view.kind}`];
    case "class":
      return ["~class", view.name];
    case "compare":
      return ["~compare", ...view.places.map(placeName)];
    case "layer":
      return [view.layer];
    case "filter":
      return [view.layer, String(view.unit)];
    case "unknown":
      return view.path.split("/");
  }
}

function encoded(text: string): string {
  // Half a surrogate pair, as in the name of a file that is no valid text, is no reason to show nothing.
  return encodeURIComponent(text.replace(/\p{Surrogate}/gu, "\ufffd")).replace(/%40/g, "@").replace(/%3A/g, ":");
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function split(text: string, mark: string): string[] {
  const at = text.indexOf(mark);
  return at < 0 ? [text] : [text.slice(0, at), text.slice(at + 1)];
}
